package proxy

import (
	"container/list"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/units"
)

// The bounds of a Jar where none are given.
const (
	DefaultJarSize      = 64 * units.MiB
	DefaultJarPerLogin  = 256 * units.KiB
	maxBackendSessions  = 10_000
	jarOverheadPerEntry = 256 // bytes that an entry costs beyond its texts
)

// Jar keeps what browsers must not or cannot hold for us: the backend's cookies that are too
// big for a browser once sealed, and backend sessions that we have opened for users. It is
// in memory, bounded, and forgets the least recently used. It lives as long as the
// process: a reload logs nobody out.
type Jar struct {
	now      func() time.Time
	size     int
	perLogin int

	mu       sync.Mutex
	cookies  map[string]*list.Element // of *jarred, by id
	byLogin  map[string]*list.List    // of id, oldest use first
	order    *list.List               // of *jarred, oldest use first
	used     int
	sessions map[string]*list.Element // of *sessionSlot, by key
	recent   *list.List               // of *sessionSlot, oldest use first
}

// jarred is one big cookie.
type jarred struct {
	id, login, value string
	inLogin          *list.Element
}

// NewJar makes an empty jar of at most size bytes of cookies, of which one login may fill
// perLogin. Zero means the default: 64 MiB and 256 KiB.
func NewJar(size, perLogin units.Size) *Jar {
	if size <= 0 {
		size = DefaultJarSize
	}
	if perLogin <= 0 {
		perLogin = DefaultJarPerLogin
	}
	return &Jar{now: time.Now, size: int(size), perLogin: int(min(perLogin, size)), cookies: map[string]*list.Element{},
		byLogin: map[string]*list.List{}, order: list.New(), sessions: map[string]*list.Element{}, recent: list.New()}
}

// keep stores a value and gives the id under which it is found again; "" when it is
// larger than one login may fill.
func (j *Jar) keep(login, value string) (id string) {
	if cost(value) > j.perLogin {
		return ""
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	mine := j.byLogin[login]
	if mine == nil {
		mine = list.New()
		j.byLogin[login] = mine
	}
	held := 0
	for e := mine.Front(); e != nil; e = e.Next() {
		held += cost(j.cookies[e.Value.(string)].Value.(*jarred).value)
	}
	for held+cost(value) > j.perLogin {
		oldest := j.cookies[mine.Front().Value.(string)]
		held -= cost(oldest.Value.(*jarred).value)
		j.drop(oldest)
	}
	for j.used+cost(value) > j.size {
		j.drop(j.order.Front())
	}
	if j.byLogin[login] == nil { // its last value was dropped, and the list with it
		j.byLogin[login] = mine
	}
	c := &jarred{id: access.NewID(j.now()), login: login, value: value}
	c.inLogin = mine.PushBack(c.id)
	j.cookies[c.id] = j.order.PushBack(c)
	j.used += cost(value)
	return c.id
}

// find gives a value that the same login has stored.
func (j *Jar) find(login, id string) (value string, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := j.cookies[id]
	if e == nil || e.Value.(*jarred).login != login {
		return "", false
	}
	c := e.Value.(*jarred)
	j.order.MoveToBack(e)
	j.byLogin[login].MoveToBack(c.inLogin)
	return c.value, true
}

// drop removes a cookie; the caller holds the lock.
func (j *Jar) drop(e *list.Element) {
	c := e.Value.(*jarred)
	j.order.Remove(e)
	delete(j.cookies, c.id)
	mine := j.byLogin[c.login]
	mine.Remove(c.inLogin)
	if mine.Len() == 0 {
		delete(j.byLogin, c.login)
	}
	j.used -= cost(c.value)
}

func cost(value string) int { return len(value) + jarOverheadPerEntry }

// Forget drops everything that belongs to a login: its cookies and its backend sessions.
func (j *Jar) Forget(loginID string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if mine := j.byLogin[loginID]; mine != nil {
		for e := mine.Front(); e != nil; e = mine.Front() {
			j.drop(j.cookies[e.Value.(string)])
		}
	}
	for e := j.recent.Front(); e != nil; {
		next := e.Next()
		if slot := e.Value.(*sessionSlot); slot.login == loginID {
			j.recent.Remove(e)
			delete(j.sessions, slot.key)
		}
		e = next
	}
}

// slot finds or makes the place of one user's backend session.
func (j *Jar) slot(login, key string) *sessionSlot {
	j.mu.Lock()
	defer j.mu.Unlock()
	if e := j.sessions[key]; e != nil {
		j.recent.MoveToBack(e)
		return e.Value.(*sessionSlot)
	}
	slot := &sessionSlot{login: login, key: key, turn: make(chan struct{}, 1)}
	j.sessions[key] = j.recent.PushBack(slot)
	if j.recent.Len() > maxBackendSessions {
		oldest := j.recent.Front()
		j.recent.Remove(oldest)
		delete(j.sessions, oldest.Value.(*sessionSlot).key)
	}
	return slot
}
