package captcha

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// FuzzFleetTexts reads what other nodes may tell. What is read is written the same
// again, and what is believed of it lies neither ahead nor without bounds.
func FuzzFleetTexts(f *testing.F) {
	now := time.UnixMilli(1_800_000_000_000)
	for _, seed := range []string{
		`{"v":1,"node":"x","at":1700000000000,"state":"down","since":1700000000000,"reached":true,"throttled":0,"probe":"","outages":[{"start":1,"end":0,"evidence":"e"}]}`,
		`{"v":1,"node":"x","at":1799999999000,"state":"up","since":1799999999000,"passes":3,"throttled":1800000009000,"outages":[{"start":1,"end":2,"evidence":"a"},{"start":3,"end":9,"evidence":"\u00e9"}]}`,
		`{"v":1,"node":"x","at":1800000059000,"state":"recovering","since":1800000059999,"outages":[{"start":1800000059000,"end":0}]}`, `{"v":1,"node":"y","at":1,"state":"unknown","since":1} {}`,
		`{"v":1,"node":"x","at":1799999999000,"until":1800000600000}`, `{"v":1,"node":"x","at":1,"until":0}`, `{"v":1,"node":"x","at":1,"until":1800086400000}`, `{"V":1,"node":"x y","at":1e3}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		told, isHealth := parseHealthText(text, now)
		drill, isDrill := parseDrillText(text, now)
		if !isHealth && !isDrill {
			return
		}
		h := newHealth("id", "fake")
		h.report, h.fleet = quiet(), newFleet(newKeeper("far", nil))
		h.asker, h.check = new(testAsker), (*BypassCheck)(nil).resolve(false)
		defer h.Destruct()
		if isHealth {
			again, ok := parseHealthText(mustJSON(t, told), now)
			if !ok || !reflect.DeepEqual(again, told) {
				t.Errorf("%s became %+v", text, again)
			}
			h.adopt(told, now)
		}
		if isDrill {
			if again, ok := parseDrillText(mustJSON(t, drill), now); !ok || again != drill {
				t.Errorf("%s became %+v", text, again)
			}
			h.adoptDrill(drill, now)
		}
		if o := h.overview(now); len(o.outages) > maxTold+1 || o.since.After(now) || o.drill && drill.Until <= now.UnixMilli() {
			t.Errorf("%s: %+v", text, o)
		}
	})
}

func mustJSON(t *testing.T, doc any) []byte {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
