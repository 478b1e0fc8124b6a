/**
 * Takes `100 Continue` out of what a destination sends.
 *
 * Any server may send it before the answer, asked or not (RFC 9110, 15.2). undici ends the connection then, and the event
 * would be sent again for ever. Other interim answers pass: undici skips them by itself.
 */
import type { Socket } from 'node:net';

const BEGINNING = /^HTTP\/1\.[01] 100[ \r]/;
const BEGINNING_LENGTH = 13;
/** Of the status, and where its first digit stands: enough to tell nearly every answer from an interim one. */
const INTERIM = 0x31;
const FIRST_DIGIT = 'HTTP/1.1 '.length;
/** Longer heads go to the parser, which says what is wrong with them. */
const LONGEST_HEAD = 16 * 1024;
const END_OF_HEAD = '\r\n\r\n';

/** Changes how this socket is read, and returns it. An answer begins after each request. */
export function skipContinue<S extends Socket>(socket: S): S {
  const read = socket.read.bind(socket);
  const write = socket.write.bind(socket);
  let isBeginning = true;
  let held: Buffer | undefined;
  socket.read = (size?: number): Buffer | null => {
    for (;;) {
      const chunk = read(size) as Buffer | null;
      if (chunk === null || !isBeginning) return chunk;
      const rest = afterContinue(held ? Buffer.concat([held, chunk]) : chunk);
      held = rest.whole ? undefined : rest.bytes;
      if (!rest.whole || rest.bytes.length === 0) continue;
      isBeginning = false;
      return rest.bytes;
    }
  };
  socket.write = ((...given: Parameters<typeof write>) => {
    isBeginning = true;
    return write(...given);
  }) as typeof socket.write;
  return socket;
}

/** What follows the interim answers; not whole while nobody can tell whether one of them begins there. */
function afterContinue(bytes: Buffer): { readonly bytes: Buffer; readonly whole: boolean } {
  if (bytes.length >= BEGINNING_LENGTH && bytes[FIRST_DIGIT] !== INTERIM) return { bytes, whole: true };
  let rest = bytes;
  for (;;) {
    const start = rest.toString('latin1', 0, BEGINNING_LENGTH);
    if (!BEGINNING.test(start)) return { bytes: rest, whole: start === '' || !mayBecome(start) };
    const end = rest.indexOf(END_OF_HEAD);
    if (end < 0) return { bytes: rest, whole: rest.length > LONGEST_HEAD };
    rest = rest.subarray(end + END_OF_HEAD.length);
  }
}

function mayBecome(start: string): boolean {
  return start.length < BEGINNING_LENGTH && ['HTTP/1.1 100 ', 'HTTP/1.0 100 '].some((text) => text.startsWith(start));
}
