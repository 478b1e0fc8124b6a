/**
 * Answers that Node's parser refuses, by what is wrong with them. undici gives its errors no code, only a sentence of the
 * parser, which is one of a fixed list and holds nothing of the answer.
 */

/** The name that Node has for the fault, and the sentence of the parser. */
const FAULTS: readonly (readonly [code: string, said: RegExp])[] = [
  ['HPE_INVALID_CONTENT_LENGTH', /content-length/i],
  ['HPE_CR_EXPECTED', /expected CR/i],
  ['HPE_LF_EXPECTED', /expected LF/i],
  ['HPE_UNEXPECTED_SPACE', /unexpected whitespace/i],
  ['HPE_INVALID_HEADER_TOKEN', /header (token|value char)/i],
  ['HPE_INVALID_VERSION', /version/i],
  ['HPE_INVALID_STATUS', /status/i],
  ['HPE_INVALID_TRANSFER_ENCODING', /transfer-encoding/i],
];
const NO_HTTP = 'HPE_INVALID_CONSTANT';
export const UNASKED_ANSWER = 'WALPOST_UNASKED_ANSWER';

/** The code of an error of undici that says more than its own; undefined when that says enough. */
export function faultOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error.name === 'HTTPParserError') return FAULTS.find(([, said]) => said.test(error.message))?.[0] ?? NO_HTTP;
  return error.name === 'SocketError' && /^bad (response|upgrade)$/.test(error.message) ? UNASKED_ANSWER : undefined;
}
