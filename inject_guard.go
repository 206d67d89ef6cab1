package captcha

import "net/http"

// guardAnswer is the one value of Guard.
const guardAnswer = "answer"

// answerStray answers a question for a challenge that no captcha handler in front
// has answered.
func answerStray(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
