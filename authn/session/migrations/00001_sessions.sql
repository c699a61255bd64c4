-- +goose Up

-- One row per session. Times are microseconds since 1970; revoked is 0 while it lives.
CREATE TABLE authn_sessions (
    tenant_id        TEXT   NOT NULL,
    id               TEXT   NOT NULL,
    login_id         TEXT   NOT NULL,
    site             TEXT   NOT NULL,
    subject          TEXT   NOT NULL,
    provider         TEXT   NOT NULL,
    provider_session TEXT   NOT NULL, -- SHA-256 of provider and "sid", or ''
    identity         BYTEA  NOT NULL, -- sealed
    generation       BIGINT NOT NULL, -- of the live refresh token
    created          BIGINT NOT NULL,
    rotated          BIGINT NOT NULL,
    expires          BIGINT NOT NULL,
    revoked          BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX authn_sessions_login ON authn_sessions (tenant_id, login_id);
CREATE INDEX authn_sessions_subject ON authn_sessions (tenant_id, subject);
CREATE INDEX authn_sessions_provider ON authn_sessions (tenant_id, provider_session) WHERE provider_session <> '';
CREATE INDEX authn_sessions_revoked ON authn_sessions (revoked) WHERE revoked > 0;
CREATE INDEX authn_sessions_expires ON authn_sessions (expires);

-- Signing keys. They belong to an environment and to no tenant.
CREATE TABLE authn_keys (
    environment TEXT   NOT NULL,
    purpose     TEXT   NOT NULL,
    generation  BIGINT NOT NULL,
    id          TEXT   NOT NULL,
    seed        BYTEA  NOT NULL, -- sealed
    created     BIGINT NOT NULL,
    active_from BIGINT NOT NULL,
    PRIMARY KEY (environment, purpose, generation)
);
