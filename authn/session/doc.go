// Package session keeps sessions and signing keys in SQL, behind the interfaces that
// authn declares. One SQL text serves SQLite and PostgreSQL.
//
// What somebody is called, what they may do and what their provider said is sealed
// under the master key, bound to the row that it lies in. Of a refresh token nothing is
// stored but the number of the live one: a copy of the database opens no session.
//
// SQL belongs to the Runtime. The table authn_keys is exempt from tenant_id: it holds
// no tenant's data. Ended and Prune read across tenants: an instance must know every
// session that was ended, and the expired are deleted for all.
package session
