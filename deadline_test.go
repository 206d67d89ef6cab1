package captcha

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		client, leave := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		d := withDeadline(client, time.Now().Add(time.Minute))
		leave()
		if at, ok := d.Deadline(); !ok || time.Until(at) != time.Minute {
			t.Errorf("the deadline is in %v", time.Until(at))
		}
		if d.Err() != nil || d.Value(key{}) != "value" {
			t.Errorf("before anybody waits: %v, %v", d.Err(), d.Value(key{}))
		}
		child, cancel := context.WithCancel(d)
		defer cancel()
		if d.Err() != nil || child.Err() != nil || child.Value(key{}) != "value" {
			t.Errorf("it ended with the client: %v, %v, %v", d.Err(), child.Err(), child.Value(key{}))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !errors.Is(d.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("a minute later: %v, %v", d.Err(), child.Err())
		}
		d.end()
	})
}

func TestDeadlineWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := withDeadline(t.Context(), time.Now().Add(time.Minute))
		time.Sleep(time.Minute)
		if !errors.Is(late.Err(), context.DeadlineExceeded) {
			t.Errorf("a minute later: %v", late.Err())
		}
		over := withDeadline(t.Context(), time.Now().Add(time.Minute))
		over.end()
		if !errors.Is(over.Err(), context.Canceled) {
			t.Errorf("after its end: %v", over.Err())
		}
		select {
		case <-over.Done():
		default:
			t.Error("who waits after its end waits for ever")
		}
		waiting := withDeadline(t.Context(), time.Now().Add(time.Hour))
		done := waiting.Done()
		waiting.end()
		<-done
		if !errors.Is(waiting.Err(), context.Canceled) {
			t.Errorf("after its end: %v", waiting.Err())
		}
	})
}
