// An OpenID Connect provider for the tests: npm oidc-provider (certified) with a login form
// and users from the environment. One process is one organisation's provider.
//
//   ISSUER         http://127.0.0.1:4000
//   REDIRECT_URIS  JSON: ["https://crm.test:8443/.sallyport/oidc/callback"]
//   CLIENT_SECRET  of the client "sallyport"
//   USERS          JSON: {"alice": {"password": "…", "email": "…", "email_verified": true, "name": "…", "groups": ["…"]}}
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const { ISSUER, CLIENT_SECRET } = process.env;
const redirects = JSON.parse(process.env.REDIRECT_URIS);
const users = new Map(Object.entries(JSON.parse(process.env.USERS)));

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });

const provider = new Provider(ISSUER, {
  clients: [{
    client_id: 'sallyport',
    client_secret: CLIENT_SECRET,
    redirect_uris: redirects,
    grant_types: ['authorization_code'],
    response_types: ['code'],
    id_token_signed_response_alg: 'ES256',
  }],
  jwks: { keys: [{ ...key, alg: 'ES256', use: 'sig', kid: 'signing' }] },
  cookies: { keys: [CLIENT_SECRET] },
  scopes: ['openid', 'email', 'profile'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
  conformIdTokenClaims: false, // the claims stand in the ID token as well
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (ctx, interaction) => `/login/${interaction.uid}` },
  async findAccount(ctx, id) {
    if (!users.has(id)) return undefined;
    const { password, ...claims } = users.get(id);
    return { accountId: id, claims: () => ({ sub: id, ...claims }) };
  },
  async loadExistingGrant(ctx) { // nobody is asked for consent
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid email profile');
    await grant.save();
    return grant;
  },
});

const form = (notice) => `<!doctype html><html lang="en"><head><title>Sign in</title></head><body><h1>Sign in</h1>${notice}
<form method="post"><label>Name <input name="username" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button id="signin">Sign in</button></form></body></html>`;

async function fields(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

provider.use(async (ctx, next) => {
  if (!/^\/login\/[\w-]+$/.test(ctx.path)) return next();
  if (ctx.method === 'GET') {
    ctx.body = form('');
    return undefined;
  }
  const given = await fields(ctx.req);
  const user = users.get(given.get('username'));
  if (!user || user.password !== given.get('password')) {
    ctx.status = 401;
    ctx.body = form('<p id="wrong">Wrong name or password.</p>');
    return undefined;
  }
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: given.get('username'), amr: ['pwd'] } }, { mergeWithLastSubmission: false });
  ctx.respond = false;
  return undefined;
});

const { hostname, port } = new URL(ISSUER);
const server = provider.listen(Number(port), hostname, () => console.log('listening'));
process.on('SIGTERM', () => { server.closeAllConnections(); server.close(() => process.exit(0)); });
