package sallyport.authz

# Which role may do what in which area, on the application's routes. Whatever is not
# written here is denied.
#
# A verb is read, create, update or delete; "other" stands for every other action,
# among them the operations that the site's file does not name.
#
#   owner   everything; billing and the tenant's settings belong to owners alone
#   admin   records, sequences, integrations and users; looks at settings, no billing
#   member  makes and edits records and sequences. Deleting is left to admins: the
#           gateway does not know whose record it is, and what is gone is gone
#   viewer  reads records and sequences
#
# Addresses that the site does not list (area "other") may be read by every role;
# since nobody knows what a write there does, it takes an owner or admin.
permissions := {
	"owner": {
		"records": {"read", "create", "update", "delete", "other"},
		"sequences": {"read", "create", "update", "delete", "other"},
		"integrations": {"read", "create", "update", "delete", "other"},
		"users": {"read", "create", "update", "delete", "other"},
		"settings": {"read", "create", "update", "delete", "other"},
		"billing": {"read", "create", "update", "delete", "other"},
		"other": {"read", "create", "update", "delete", "other"},
	},
	"admin": {
		"records": {"read", "create", "update", "delete", "other"},
		"sequences": {"read", "create", "update", "delete", "other"},
		"integrations": {"read", "create", "update", "delete", "other"},
		"users": {"read", "create", "update", "delete", "other"},
		"settings": {"read"},
		"other": {"read", "create", "update", "delete", "other"},
	},
	"member": {
		"records": {"read", "create", "update"},
		"sequences": {"read", "create", "update"},
		"other": {"read"},
	},
	"viewer": {
		"records": {"read"},
		"sequences": {"read"},
		"other": {"read"},
	},
}

# The roles that may use a tenant's console.
console_roles := {"owner", "admin"}
