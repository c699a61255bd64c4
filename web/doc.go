// Package web renders the gateway's own pages: the way in and out, who one is, and why
// something was refused. Templates, style and the message catalogue are embedded.
//
// The pages work without JavaScript and contain none. They load nothing: the one style
// sheet stands in the page and the content security policy names its hash. Everything
// that comes from outside is escaped by html/template for the place where it stands.
//
// The data of a page is a struct of the room that shows it. Templates use its fields by name:
//
//	refusal    Status int; Code, Title, Detail, Remedy, RequestID, Site, LoginURL, HomeURL string; Reasons []{ID, Text string}
//	login      Site, Action, Return, Email, Notice, RequestID string; Again, AskEmail bool; Buttons []{Provider, Label string}
//	logout     Site, Action, Who, HomeURL, RequestID string
//	loggedout  Site, LoginURL, RequestID string; StillAtProvider bool
//	whoami     Site, Subject, Name, Email, Tenant, TenantName, Provider, LogoutURL, HomeURL, RequestID string;
//	           Roles, Groups, AMR []string; AuthTime, Expires time.Time
//	message    Site, Title, Text, RequestID string; Links []{URL, Text string}
//
// Notice is "", "no_provider" or "provider_down".
//
// Pages is immutable and as cheap to share as it is to make: it may live as long as the
// process or as the Plan.
package web
