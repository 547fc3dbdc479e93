// Serves oidc-provider, an identity provider of others, over TLS: arguments port, folder (cert.pem, key.pem,
// clients.json) and audience. Each line on stdin is a change, {skew}, {isSilent}, {patient} or {keys}, and is answered by {}.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";

const [port, folder, audience] = process.argv.slice(2);
const state = { skew: 0, isSilent: false, lifetime: 600, keys: [] };
console.info = console.error; // stdout is for the answers
const now = Date.now.bind(Date);
Date.now = () => now() + state.skew * 1000;

const { Provider } = await import("oidc-provider");
const issuer = `https://localhost:${port}`;
const clients = JSON.parse(readFileSync(`${folder}/clients.json`));
let handler;

function provide() {
  const provider = new Provider(issuer, {
    jwks: { keys: state.keys },
    clients,
    pkce: { required: () => true },
    extraTokenClaims: (_, { accountId }) => (accountId ? { patient: state.patient } : undefined),
    scopes: [...new Set(clients.flatMap((client) => client.scope.split(" ")))],
    clockTolerance: 300,
    enabledJWA: { clientAuthSigningAlgValues: ["RS384", "ES384"] },
    features: {
      devInteractions: { enabled: true }, // its login page takes any user and any password
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource, client) => ({
          audience: resource,
          scope: client.scope,
          accessTokenFormat: "jwt",
          accessTokenTTL: state.lifetime,
          jwt: { sign: { alg: state.keys[0].alg } },
        }),
      },
    },
  });
  provider.on("server_error", (_, error) => console.error(error));
  handler = provider.callback();
}

const tls = { cert: readFileSync(`${folder}/cert.pem`), key: readFileSync(`${folder}/key.pem`) };
const server = createServer(tls, (request, response) =>
  state.isSilent ? request.socket.destroy() : handler(request, response),
);

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  Object.assign(state, JSON.parse(line));
  provide();
  if (!server.listening) await new Promise((resolve) => server.listen(Number(port), "localhost", resolve));
  process.stdout.write("{}\n");
}
server.closeAllConnections();
server.close();
