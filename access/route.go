package access

// Class says which family of rules a route lives under. The zero Class is none of
// them, and no gate and no door lets it through.
type Class uint8

// The route classes. NoClass is the zero value.
const (
	NoClass  Class = 0
	Public   Class = 1 << 0 // assets named in the file: no identity, no tenant header
	Portal   Class = 1 << 1 // login pages: identity optional
	App      Class = 1 << 2 // the backend behind us
	Console  Class = 1 << 3 // one tenant's settings and audit pages
	Operator Class = 1 << 4 // all tenants; a tenant is a resource here
)

// Classes is a set of route classes.
type Classes uint8

// AnyClass is every class, NoClass included: for gates that run before a request
// is located.
const AnyClass Classes = 0xff

// Has says whether the class is in the set; NoClass is in AnyClass only.
func (s Classes) Has(c Class) bool { return s == AnyClass || s&Classes(c) != 0 }

// String is the class's lower-case name, "none" for NoClass.
func (c Class) String() string {
	switch c {
	case Public:
		return "public"
	case Portal:
		return "portal"
	case App:
		return "app"
	case Console:
		return "console"
	case Operator:
		return "operator"
	}
	return "none"
}

// Route is what a request asks for: which class of address, which resource, what to
// do with it. The zero Route is of no class and mutating.
type Route struct {
	Class Class
	// Pattern is the configured pattern that matched, such as "/api/contacts/{id}";
	// a bounded name for metrics and limits. "" when no resource matched.
	Pattern string
	// Resource is the type of thing, such as "contact"; OtherResource when the site
	// lists none for this address.
	Resource string
	// ID is the resource's id, or "" for the collection. At most 256 bytes.
	ID string
	// Action is read, create, update, delete, or a name that the file gives.
	Action string
	// ReadOnly is true only where the route is known not to change anything.
	ReadOnly bool
	// Params are the values of the pattern's placeholders.
	Params []Pair
	// Body says what a body on this route may be.
	Body BodyRule
	// Operation says how a body completes the route; nil when the head told all.
	Operation *Operation
	// Endpoint is the local handler of a Portal, Console or Operator route.
	Endpoint *Endpoint
}

// OtherResource is the resource type of an App route that the site does not list.
const OtherResource = "other"

// The actions that verbs give (RFC 9110, section 9.3). Others come from the file.
const (
	ActionRead   = "read"
	ActionCreate = "create"
	ActionUpdate = "update"
	ActionDelete = "delete"
	// ActionUnknown is an operation that the file does not name: mutating.
	ActionUnknown = "unknown"
	ActionLogin   = "login"
	ActionLogout  = "logout"
)

// BodyRule bounds a body. The zero rule allows none.
type BodyRule struct {
	// Types are the media types allowed, in lower case, without parameters. "*/*"
	// allows any, which a site with tenant guards must not say (check refuses it).
	Types []string
	// Max is the largest body in bytes, after decoding a Content-Encoding.
	Max int64
	// Stream lets the body pass while it is judged, instead of being spooled.
	Stream bool
}

// Operation is how a site's body names what it does.
type Operation struct {
	// JSONRPC: the "method" member names the operation.
	JSONRPC *JSONRPC
	// Form: a field names the operation.
	Form *FormAction
}

// JSONRPC maps the method names of a JSON-RPC address (one call per request; batches
// are refused). Unlisted methods are ActionUnknown, hence mutating.
type JSONRPC struct {
	// Methods maps a method name to its action. "model.party.party.read" → "read".
	// A trailing "*" in the name matches any rest.
	Methods map[string]string
	// Resources maps a method name, or a prefix that ends in "*", to a resource
	// type that is finer than the route's.
	Resources map[string]string
	// ID is the path of the resource's id in the body, such as "params.0.0"; may be "".
	ID string
}

// FormAction maps the values of one parameter, in the query or a form body, to actions.
type FormAction struct {
	// Parameter is the name of the query parameter or form field, such as "action".
	Parameter string
	// Actions maps its values to actions. An unlisted value is ActionUnknown.
	Actions map[string]string
	// ID is the name of the parameter that holds the resource's id; may be "".
	ID string
}

// Reads says whether an action is known to change nothing.
func Reads(action string) bool { return action == ActionRead }
