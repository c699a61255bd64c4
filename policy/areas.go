package policy

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// The areas into which resource types are sorted. The table of roles
// (rego/permissions.rego) speaks of these alone.
const (
	areaRecords      = "records" // contacts, accounts, deals, tasks, notes: whatever is not named below
	areaSequences    = "sequences"
	areaIntegrations = "integrations"
	areaUsers        = "users"
	areaBilling      = "billing"
	areaSettings     = "settings"
	areaOther        = "other" // addresses that the site does not list
)

// areaNames lists the areas, those open to most roles first.
var areaNames = []string{areaRecords, areaSequences, areaOther, areaIntegrations, areaUsers, areaSettings, areaBilling}

// builtinAreas sorts the names that mean the same in every CRM. Names with two common
// meanings (an invoice is a record to one application and billing to another) are left
// to the configuration.
var builtinAreas = map[string]string{
	"sequence": areaSequences, "sequences": areaSequences, "cadence": areaSequences, "cadences": areaSequences,

	"integration": areaIntegrations, "integrations": areaIntegrations,
	"webhook": areaIntegrations, "webhooks": areaIntegrations,
	"api_key": areaIntegrations, "api_keys": areaIntegrations,
	"api_token": areaIntegrations, "api_tokens": areaIntegrations,

	"user": areaUsers, "users": areaUsers, "role": areaUsers, "roles": areaUsers,
	"permission": areaUsers, "permissions": areaUsers, "invitation": areaUsers, "invitations": areaUsers,

	"billing": areaBilling, "billing_plan": areaBilling, "billing_account": areaBilling,
	"payment_method": areaBilling, "payment_methods": areaBilling,
	"subscription": areaBilling, "subscriptions": areaBilling,

	"setting": areaSettings, "settings": areaSettings, "tenant": areaSettings,
	"tenant_settings": areaSettings, "identity_provider": areaSettings, "identity_providers": areaSettings,

	access.OtherResource: areaOther,
}

// areasOf adds the configuration's areas to the built-in ones, which it may override.
func areasOf(configured map[string]string) map[string]string {
	areas := make(map[string]string, len(builtinAreas)+len(configured))
	for kind, area := range builtinAreas {
		areas[kind] = area
	}
	for kind, area := range configured {
		areas[strings.ToLower(kind)] = area
	}
	return areas
}

// areaOf sorts a resource type. No type at all is not a record: it gets no area, and
// nobody has a permission there.
func areaOf(areas map[string]string, kind string) string {
	if kind == "" {
		return ""
	}
	if area, ok := areas[kind]; ok {
		return area
	}
	if area, ok := areas[strings.ToLower(kind)]; ok {
		return area
	}
	return areaRecords
}

// wider says whether area a is open to more roles than area b.
func wider(a, b string) bool { return slices.Index(areaNames, a) < slices.Index(areaNames, b) }
