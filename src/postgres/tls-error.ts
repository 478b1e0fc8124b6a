/** What an error of a connection says about TLS. https://nodejs.org/api/tls.html#x509-certificate-error-codes */
import { type ErrorCode, messageOf, WalpostError } from '../errors.ts';
import { cameUnencrypted, placeNotReached, TlsNegotiationError } from './driver-connection.ts';
import { SQLSTATE, sqlStateOf } from './sqlstate.ts';

const BY_CODE: Readonly<Record<string, ErrorCode>> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'TLS_HOST_NAME',
  HOSTNAME_MISMATCH: 'TLS_HOST_NAME',
  CERT_HAS_EXPIRED: 'TLS_EXPIRED',
  CERT_NOT_YET_VALID: 'TLS_EXPIRED',
  CRL_HAS_EXPIRED: 'TLS_EXPIRED',
  CRL_NOT_YET_VALID: 'TLS_EXPIRED',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'TLS_UNTRUSTED',
  SELF_SIGNED_CERT_IN_CHAIN: 'TLS_UNTRUSTED',
  UNABLE_TO_GET_ISSUER_CERT: 'TLS_UNTRUSTED',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'TLS_UNTRUSTED',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'TLS_UNTRUSTED',
  UNABLE_TO_GET_CRL: 'TLS_UNTRUSTED',
  CERT_SIGNATURE_FAILURE: 'TLS_UNTRUSTED',
  CERT_CHAIN_TOO_LONG: 'TLS_UNTRUSTED',
  CERT_REVOKED: 'TLS_UNTRUSTED',
  CERT_UNTRUSTED: 'TLS_UNTRUSTED',
  CERT_REJECTED: 'TLS_UNTRUSTED',
  INVALID_CA: 'TLS_UNTRUSTED',
  INVALID_PURPOSE: 'TLS_UNTRUSTED',
  PATH_LENGTH_EXCEEDED: 'TLS_UNTRUSTED',
};

/** What the server says of our certificate, as OpenSSL names it. */
const OF_OUR_CERTIFICATE = /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/;
/** A key that does not fit, a passphrase that is wrong, a file that is no certificate. */
const OF_OUR_FILES = /^(ERR_OSSL_|ERR_CRYPTO_|ERR_MISSING_PASSPHRASE)/;

/** Undefined when the error has nothing to do with TLS. */
export function tlsError(error: unknown): WalpostError | undefined {
  if (error instanceof TlsNegotiationError) {
    return new WalpostError(error.answer === 'not offered' ? 'TLS_NOT_OFFERED' : 'TLS_HANDSHAKE', {
      ...(error.answer === 'not offered' ? {} : { detail: 'What answers is no Postgres server.' }),
      cause: error,
    });
  }
  if (!(error instanceof Error)) return undefined;
  if (sqlStateOf(error) !== undefined) return refusedByServer(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const known = BY_CODE[code] ?? ofHandshake(code, error);
  return known && new WalpostError(known, { detail: sentence(placed(error)), cause: error });
}

function ofHandshake(code: string, error: Error): ErrorCode | undefined {
  if (OF_OUR_FILES.test(code)) return 'TLS_FILE';
  if (OF_OUR_CERTIFICATE.test(code)) return 'TLS_CLIENT_REFUSED';
  const isOfOpenSsl = code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO';
  const endedEarly = error.message.includes('before secure TLS connection was established');
  return isOfOpenSsl || endedEarly ? 'TLS_HANDSHAKE' : undefined;
}

/**
 * pg_hba.conf refused the connection, by the server's function, which no language of its messages changes. Only the words
 * tell a certificate that is asked for; in another language it is AUTHENTICATION, with the server's sentence.
 */
function refusedByServer(error: Error): WalpostError | undefined {
  const isOfHba = 'routine' in error && error.routine === 'ClientAuthentication';
  if (sqlStateOf(error) !== SQLSTATE.invalidAuthorization || !isOfHba) return undefined;
  const detail = sentence(`The server says: ${messageOf(error)}`);
  if (cameUnencrypted(error)) return new WalpostError('TLS_REQUIRED', { detail, cause: error });
  if (!error.message.includes('client certificate')) return undefined;
  return new WalpostError('TLS_CLIENT_CERTIFICATE', { detail, cause: error });
}

/** Several servers may be named: which of them it is. */
function placed(error: Error): string {
  const place = placeNotReached(error);
  return place === undefined ? messageOf(error) : `At ${place}: ${messageOf(error)}`;
}

function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
