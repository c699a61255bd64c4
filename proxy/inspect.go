package proxy

import "github.com/sallyport/sallyport/access"

// inspectHead is the WAF over line, query, cookies and headers. An engine that cannot
// answer closes the house (503).
func inspectHead(die access.Die, waf Inspector) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if err := waf.InspectHead(ex); err != nil {
			return err
		}
		die.Press(ex)
		return nil
	}
}

// inspectBody is the WAF over the whole request, with the bytes that go to the backend.
func inspectBody(die access.Die, waf Inspector) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if err := waf.InspectBody(ex); err != nil {
			return err
		}
		die.Press(ex)
		return nil
	}
}
