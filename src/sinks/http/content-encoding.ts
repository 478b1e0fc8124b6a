import { constants, gunzipSync, inflateSync } from 'node:zlib';

/** Eight KiB of gzip become eight MiB at most. */
const LONGEST = 16 * 1024 ** 2;

/**
 * The beginning of a body without its gzip or deflate, of which the end may be missing. Empty for other encodings, and for
 * what is not in the encoding that it claims: nobody could read it.
 */
export function decodedStart(bytes: Buffer, encoding: string): Buffer {
  const name = encoding.trim().toLowerCase();
  if (name === '' || name === 'identity') return bytes;
  const decode = /^(x-)?gzip$/.test(name) ? gunzipSync : name === 'deflate' ? inflateSync : undefined;
  try {
    return decode?.(bytes, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: LONGEST }) ?? Buffer.alloc(0);
  } catch {
    return Buffer.alloc(0);
  }
}
