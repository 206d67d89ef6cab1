package captcha

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"
)

// reporter tells operators of changes: once each, in the log, as an event and in
// the metrics. It is called with the health's lock held.
type reporter struct {
	ctx     caddy.Context
	events  *caddyevents.App
	logger  *zap.Logger
	metrics *metrics
}

func newReporter(ctx caddy.Context) (reporter, error) {
	app, err := ctx.App("events")
	if err != nil {
		return reporter{}, err
	}
	m, err := newMetrics(ctx)
	return reporter{ctx: ctx, events: app.(*caddyevents.App), logger: ctx.Logger().Named("bypass"), metrics: m}, err
}

// emit tells subscribers. They may be slow or ask for the provider's status, so
// they are told without the lock.
func (r reporter) emit(name string, data map[string]any) {
	if r.events == nil {
		return
	}
	go r.events.Emit(r.ctx, "captcha."+name, data)
}

func (r reporter) began(h *health, o outage) {
	data := map[string]any{"provider": h.name, "id": h.id, "evidence": o.Evidence, "drill": o.Drill}
	switch {
	case o.heard: // the node that found it out has told whom it concerns
		r.logger.Info("another node tells that the provider is down, or that a drill begins",
			zap.String("provider", h.name), zap.String("id", h.id), zap.String("evidence", o.Evidence), zap.Bool("drill", o.Drill))
		return
	case o.Drill:
		r.logger.Info("a drill begins: the provider counts as down", zap.String("provider", h.name), zap.String("id", h.id))
	case !h.reached:
		r.logger.Error("the provider was never reached since start: check the egress firewall",
			zap.String("provider", h.name), zap.String("id", h.id), zap.String("evidence", o.Evidence))
		r.emit("never_reached", data)
	default:
		r.logger.Warn("the provider is down", zap.String("provider", h.name), zap.String("id", h.id), zap.String("evidence", o.Evidence))
	}
	r.emit("outage_started", data)
}

func (r reporter) ended(h *health, o outage) {
	lasted := o.End.Sub(o.Start)
	r.logger.Info("the provider is up again", zap.String("provider", h.name), zap.String("id", h.id),
		zap.Duration("lasted", lasted), zap.Int64("failed_over", o.FailedOver), zap.Bool("drill", o.Drill))
	if !o.Drill {
		r.metrics.outageSeconds(h.name, lasted)
	}
	if o.heard {
		return
	}
	r.emit("outage_ended", map[string]any{
		"provider": h.name, "id": h.id, "lasted": lasted.String(), "failed_over": o.FailedOver, "drill": o.Drill,
	})
}

func (r reporter) misconfigured(h *health, wrong bool, evidence string) {
	if !wrong {
		r.logger.Info("the provider accepts our configuration again", zap.String("provider", h.name), zap.String("id", h.id))
		return
	}
	r.logger.Error("the provider refuses our configuration: check keys and certificates; this is not an outage",
		zap.String("provider", h.name), zap.String("id", h.id), zap.String("evidence", evidence))
	r.emit("misconfigured", map[string]any{"provider": h.name, "id": h.id, "evidence": evidence})
}

func (r reporter) throttled(h *health, until time.Time) {
	r.logger.Warn("the provider's quota is spent", zap.String("provider", h.name), zap.String("id", h.id), zap.Time("until", until))
	r.emit("throttled", map[string]any{"provider": h.name, "id": h.id, "until": until.Format(time.RFC3339)})
}

// lone is told when only this node cannot reach a provider.
func (r reporter) lone(h *health) {
	r.logger.Warn("the other nodes reach the provider, and this one does not: check its egress; it goes on as in an outage",
		zap.String("provider", h.name), zap.String("id", h.id))
}

func (r reporter) up(h *health, isUp bool) { r.metrics.providerUp(h.name, isUp) }
