package harness

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Browser is a tab of a Chromium that began with an empty profile.
type Browser struct {
	ctx context.Context
}

// NewBrowser starts a Chromium that finds the site here, and trusts its certificate.
func (g *Gateway) NewBrowser(t testing.TB) *Browser {
	t.Helper()
	return NewBrowser(t, g.cert.spki)
}

// NewBrowser starts a Chromium that trusts the certificates with these public keys (see SPKI),
// and finds every name below test on loopback. It ends with the test.
func NewBrowser(t testing.TB, spki ...string) *Browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(Tool(t, "chromium")), chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1"),
		chromedp.Flag("ignore-certificate-errors-spki-list", strings.Join(spki, ",")),
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("end Chromium: %v", err)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil { // starts it
		t.Fatalf("Chromium does not start: %v", err)
	}
	return &Browser{ctx}
}

// NewTab opens another tab of the same browser.
func (b *Browser) NewTab(t testing.TB) *Browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return &Browser{ctx}
}

// perform runs one action, and fails with the page as it stands when it does not come about.
func perform[T any](t testing.TB, b *Browser, what string, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		t.Fatalf("in the browser, %s: %v\n%s", what, err, b.where())
	}
	return value
}

// where is the page as it stands, for failures.
func (b *Browser) where() string {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	page, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.outerHTML`))
	if err != nil {
		return err.Error()
	}
	return tail(page)
}

// Text gives the visible text of the first element that fits, once it is there.
func (b *Browser) Text(t testing.TB, selector string) string {
	t.Helper()
	return strings.TrimSpace(perform(t, b, "the text of "+selector, chromedp.Text(chromedp.CSS(selector))))
}

// Eval gives the value of an expression in the page.
func Eval[T any](t testing.TB, b *Browser, expression string) T {
	t.Helper()
	return perform(t, b, expression, chromedp.Evaluate[T](expression))
}

// Until waits until an expression in the page is true.
func (b *Browser) Until(t testing.TB, expression string) {
	t.Helper()
	perform(t, b, "until "+expression, chromedp.Poll[bool](expression))
}

// At is the address of the page.
func (b *Browser) At(t testing.TB) string {
	t.Helper()
	return perform(t, b, "the address", chromedp.Location())
}

// Go goes to an address.
func (b *Browser) Go(t testing.TB, address string) {
	t.Helper()
	perform(t, b, "go to "+address, chromedp.Navigate(address))
}

// Fill types into the first element that fits, which is emptied before.
func (b *Browser) Fill(t testing.TB, selector, text string) {
	t.Helper()
	at := chromedp.CSS(selector)
	perform(t, b, "fill "+selector, chromedp.Steps(chromedp.WaitVisible(at), chromedp.Clear(at), chromedp.SendKeys(at, text)))
}

// Click clicks on the first element that fits, and waits for the page that it leads to.
func (b *Browser) Click(t testing.TB, selector string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector))); err != nil {
		t.Fatalf("in the browser, a click on %s: %v\n%s", selector, err, b.where())
	}
}

// LogIn fills in the gateway's login page, which must be shown, and then the provider's form. It
// waits until the way back, on which the provider may have pages of its own, is done.
func (b *Browser) LogIn(t testing.TB, p Person) {
	t.Helper()
	b.Fill(t, "#email", p.Email())
	b.Click(t, "main form button")
	b.Fill(t, "input[name=username]", p.Name)
	b.Fill(t, "input[name=password]", p.Password())
	b.Click(t, "#signin")
	Eventually(t, "the provider leads back", func() bool { return strings.HasPrefix(b.At(t), "https://") })
}

// Cookies are those for the page, by name, as scripts see them or not.
func (b *Browser) Cookies(t testing.TB) map[string]*network.Cookie {
	t.Helper()
	return perform(t, b, "cookies", func(ctx context.Context, _ *chromedp.Target) (map[string]*network.Cookie, error) {
		got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{})
		all := map[string]*network.Cookie{}
		for _, c := range got.Cookies {
			all[c.Name] = c
		}
		return all, err
	})
}
