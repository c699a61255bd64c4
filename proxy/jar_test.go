package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/units"
)

func TestAJarForgetsTheLeastRecentlyUsed(t *testing.T) {
	each := 1000 - jarOverheadPerEntry
	j := NewJar(10*1000, 3*1000)
	value := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), each) }
	var ids []string
	for i := range 3 {
		ids = append(ids, j.keep("a", value(i)))
	}
	if _, ok := j.find("a", ids[0]); !ok {
		t.Fatal("a value is lost")
	}
	if _, ok := j.find("b", ids[0]); ok {
		t.Error("another login finds it")
	}
	ids = append(ids, j.keep("a", value(3))) // over the login's share: 1 is the least recently used
	for i, want := range []bool{true, false, true, true} {
		if got, ok := j.find("a", ids[i]); ok != want || ok && got != value(i) {
			t.Errorf("value %d: found %v, want %v", i, ok, want)
		}
	}
	for i := range 9 { // other logins fill the jar
		if j.keep(fmt.Sprint("b", i), value(i)) == "" {
			t.Error("no room is made")
		}
	}
	found := 0
	for _, id := range ids {
		if _, ok := j.find("a", id); ok {
			found++
		}
	}
	if found != 1 || j.used > 10*1000 || len(j.cookies) != 10 {
		t.Errorf("%d of a's are left, %d bytes in %d values; want 1, at most 10000, 10", found, j.used, len(j.cookies))
	}
	for login := range j.byLogin {
		j.Forget(login)
	}
	if j.used != 0 || len(j.cookies) != 0 || j.order.Len() != 0 || len(j.byLogin) != 0 {
		t.Errorf("%d bytes are left when all is forgotten", j.used)
	}
	if j.keep("a", strings.Repeat("x", 3*1000)) != "" {
		t.Error("a value larger than a login's share is kept")
	}
}

func TestAJarHoldsABoundedNumberOfBackendSessions(t *testing.T) {
	j := NewJar(units.MiB, 0)
	first := j.slot("login", "first")
	for i := range maxBackendSessions - 1 {
		j.slot("login", fmt.Sprint(i))
	}
	if j.slot("login", "first") != first {
		t.Fatal("a session is lost while there is room")
	}
	j.slot("login", "one more")
	if len(j.sessions) != maxBackendSessions || j.slot("login", "first") != first {
		t.Errorf("%d sessions, or the recently used one is gone", len(j.sessions))
	}
	j.Forget("login")
	if len(j.sessions) != 0 || j.recent.Len() != 0 {
		t.Errorf("%d sessions are left after the logout", len(j.sessions))
	}
}
