/**
 * channel_binding=require as in libpq: the server proves over this very TLS connection that it knows the password. The
 * driver binds when the server offers it, and otherwise goes on without, so each answer of the server is looked at first.
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CHANNEL-BINDING
 */
import { WalpostError } from '../errors.ts';

const BOUND = 'SCRAM-SHA-256-PLUS';

/** Follows the authentication of one connection. */
export class ChannelBindingDemand {
  private isOffered = false;
  private isProven = false;

  /** Why this message of the server must not be answered; undefined when it may be. */
  refusalOf(event: string | symbol, message: unknown, isSecure: boolean): WalpostError | undefined {
    switch (event) {
      case 'authenticationCleartextPassword':
        return refusal('asks for the password in clear text');
      case 'authenticationMD5Password':
        return refusal('asks for an MD5 of the password');
      case 'authenticationSASL':
        this.isOffered = isSecure && offers(message);
        return this.isOffered ? undefined : refusal(`does not offer ${BOUND} over TLS`);
      case 'authenticationSASLFinal':
        this.isProven = this.isOffered; // the driver checks the proof, and ends the connection when it is wrong
        return undefined;
      case 'authenticationOk':
        return this.isProven ? undefined : refusal('lets the role in without a password');
      default:
        return undefined;
    }
  }
}

function offers(message: unknown): boolean {
  const { mechanisms = [] } = message as { readonly mechanisms?: readonly string[] };
  return mechanisms.includes(BOUND);
}

function refusal(what: string): WalpostError {
  return new WalpostError('CHANNEL_BINDING', { detail: `The server ${what}.` });
}
