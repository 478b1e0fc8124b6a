/**
 * Who may listen: a JSON Web Token says which organization, and until when.
 *
 * Each key is used with one algorithm only, and the token's own word on the algorithm only chooses among them. So `alg: none`
 * chooses nothing, and a public key is never taken for the secret of HS256. `exp` has to be there.
 */
import { createRemoteJWKSet, customFetch, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose';
import { Agent, fetch } from 'undici';
import type { Clock } from '../../clock.ts';
import type { LiveConfig } from '../../config/live.ts';
import { publicKeyOf } from '../../public-key.ts';
import { guardedConnector } from '../http/ssrf-guard.ts';

export interface LiveClaims {
  readonly organizationId: string;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

/** The token does not let anybody in; the message may be shown to whoever sent it. */
export class TokenRefusedError extends Error {}
/** Whether it does is not known: the keys cannot be read now. */
export class KeysUnreadableError extends Error {}

interface Verifier {
  readonly algorithms: readonly string[];
  verify(token: string, options: object): Promise<{ readonly payload: JWTPayload }>;
}

const JWKS_ALGORITHMS = ['RS256', 'ES256', 'EdDSA'];
const JWKS_TIMEOUT_MS = 5_000;
const JWKS_COOLDOWN_MS = 30_000;
const JWKS_AGE_MS = 10 * 60_000;
const MOST_JWKS_BYTES = 256 * 1024;
const UUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i;

export class LiveTokens implements AsyncDisposable {
  private readonly config: LiveConfig;
  private readonly clock: Clock;
  private readonly agent: Agent | undefined;
  private readonly verifiers: readonly Verifier[];

  constructor(config: LiveConfig, clock: Clock) {
    this.config = config;
    this.clock = clock;
    const { secret, public_key: publicKey, jwks, allow_private: allowPrivate } = config;
    if (jwks !== undefined) {
      this.agent = new Agent({ connect: guardedConnector({ allowPrivate, timeout: JWKS_TIMEOUT_MS }), connections: 1 });
    }
    this.verifiers = [
      ...(secret === undefined ? [] : [secretVerifier(secret)]),
      ...(publicKey === undefined ? [] : [publicVerifier(publicKey)]),
      ...(jwks === undefined || !this.agent ? [] : [remoteVerifier(jwks, this.agent)]),
    ];
  }

  /** Throws TokenRefusedError, KeysUnreadableError. */
  async verify(token: string): Promise<LiveClaims> {
    const algorithm = algorithmOf(token);
    const { issuer, audience } = this.config;
    const options = {
      currentDate: new Date(this.clock.wallTime()),
      requiredClaims: ['exp'],
      ...(issuer !== undefined && { issuer }),
      ...(audience !== undefined && { audience }),
    };
    let refusal: unknown;
    for (const verifier of this.verifiers) {
      if (!verifier.algorithms.includes(algorithm)) continue;
      try {
        return this.claimsOf((await verifier.verify(token, options)).payload);
      } catch (error) {
        if (error instanceof TokenRefusedError) throw error;
        // What says most is told: a signature that another key may fit says least.
        if (refusal === undefined || !(error instanceof errors.JWSSignatureVerificationFailed)) refusal = error;
      }
    }
    throw refusalOf(refusal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent?.destroy();
  }

  private claimsOf(payload: JWTPayload): LiveClaims {
    const { organization_claim: claim } = this.config;
    const value = claimOf(payload, claim);
    const id = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
    if (typeof id !== 'string' || id === '') throw new TokenRefusedError(`the token has no claim ${claim}`);
    // Postgres prints a uuid in small letters.
    return { organizationId: UUID.test(id) ? id.toLowerCase() : id, expiresAt: (payload.exp ?? 0) * 1000 };
  }
}

function secretVerifier(secret: string): Verifier {
  const key = new TextEncoder().encode(secret);
  return {
    algorithms: ['HS256'],
    verify: (token, options) => jwtVerify(token, key, { ...options, algorithms: ['HS256'] }),
  };
}

function publicVerifier(given: string): Verifier {
  const { key, algorithm } = publicKeyOf(given);
  const algorithms = [algorithm];
  return { algorithms, verify: (token, options) => jwtVerify(token, key, { ...options, algorithms }) };
}

/** The set is kept for ten minutes; a key that it does not have is asked for again at most every 30 seconds. */
function remoteVerifier(url: string, dispatcher: Agent): Verifier {
  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: JWKS_TIMEOUT_MS,
    cooldownDuration: JWKS_COOLDOWN_MS,
    cacheMaxAge: JWKS_AGE_MS,
    [customFetch]: async (address, { headers, signal }) => {
      const answer = await fetch(address, {
        dispatcher,
        headers: Object.fromEntries(headers),
        signal,
        redirect: 'error',
      });
      return new Response(await startOf(answer.body), { status: answer.status });
    },
  });
  const algorithms = JWKS_ALGORITHMS;
  return { algorithms, verify: (token, options) => jwtVerify(token, keys, { ...options, algorithms }) };
}

/** A set that is longer is cut, and then is no JSON. */
async function startOf(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body ?? []) {
    parts.push(part);
    length += part.length;
    if (length > MOST_JWKS_BYTES) break;
  }
  return Buffer.concat(parts).subarray(0, MOST_JWKS_BYTES).toString('utf8');
}

function algorithmOf(token: string): string {
  try {
    return String(decodeProtectedHeader(token).alg);
  } catch {
    throw new TokenRefusedError('the token is no JSON Web Token');
  }
}

/** The claim of that name, or what the path leads to. */
function claimOf(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let value: unknown = payload;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** Nothing of the token goes into the message. */
function refusalOf(error: unknown): Error {
  if (error === undefined) return new TokenRefusedError('no key is used with the algorithm of the token');
  if (error instanceof errors.JWTExpired) return new TokenRefusedError('the token has expired');
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new TokenRefusedError(`the claim ${error.claim} of the token is missing or wrong`);
  }
  if (error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey) {
    return new TokenRefusedError('no key fits the signature of the token');
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return new TokenRefusedError('the token does not say which key it is signed with (kid), and several may be it');
  }
  if (
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JOSENotSupported
  ) {
    return new TokenRefusedError('the token is no JSON Web Token that can be checked');
  }
  return new KeysUnreadableError('the keys cannot be read', { cause: error });
}
