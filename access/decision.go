package access

// Decision is what policy answered. The zero Decision denies.
type Decision struct {
	Allow bool
	// Rule is the id of the rule that decided.
	Rule string
	// Reasons say why not, each with an id that stays the same between releases.
	Reasons []Reason
	// Revision names the policy and data that decided.
	Revision string
}

// Reason is one cause of a denial.
type Reason struct {
	ID   string // such as "role_lacks_permission"
	Text string // one sentence for people; shown to admins, never to strangers
}
