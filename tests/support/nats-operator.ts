/** An operator of NATS with an account and its users, as JWTs that are signed here: what `nsc` would make. */
import { nkeys } from '@nats-io/transport-node';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const UNLIMITED = -1;
const LIMITS = 'subs data payload imports exports conn leaf mem_storage disk_storage streams consumer'.split(' ');
const ACCOUNT_LIMITS = { ...Object.fromEntries(LIMITS.map((name) => [name, UNLIMITED])), wildcards: true };
const USER_LIMITS = { subs: UNLIMITED, data: UNLIMITED, payload: UNLIMITED };

export class NatsOperator {
  private readonly operator = nkeys.createOperator();
  private readonly account = nkeys.createAccount();
  private readonly system = nkeys.createAccount();

  /** Lines of a server's configuration that trust this operator. */
  config(): string {
    const accounts = [this.account, this.system].map((account) => {
      const limits = account === this.account ? ACCOUNT_LIMITS : {};
      const jwt = signed(this.operator, account, { type: 'account', limits });
      return `${account.getPublicKey()}: ${jwt}`;
    });
    return [
      `operator: ${signed(this.operator, this.operator, { type: 'operator' })}`,
      `system_account: ${this.system.getPublicKey()}`,
      'resolver: MEMORY',
      `resolver_preload: {\n${accounts.join('\n')}\n}`,
    ].join('\n');
  }

  /** The text of a .creds file for a new user of the account. */
  credentials(): string {
    const user = nkeys.createUser();
    const jwt = signed(this.account, user, { type: 'user', ...USER_LIMITS });
    const seed = Buffer.from(user.getSeed()).toString();
    return `-----BEGIN NATS USER JWT-----
${jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${seed}
------END USER NKEY SEED------
`;
  }
}

function signed(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const claims = {
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: 'test',
    nats: { ...nats, version: 2 },
  };
  const text = [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims].map(base64).join('.');
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString('base64url')}`;
}

function base64(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
