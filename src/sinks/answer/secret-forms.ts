/**
 * Secrets in every form in which an answer may echo them.
 *
 * No run of eight characters of a secret survives in an answer, in any form. So a secret is also found when it is cut off,
 * joined to other text before it was encoded, or quoted in part. A shorter secret, or a shorter form of one, is searched for
 * as a whole. A text of less than four characters is not treated as a secret.
 *
 * The readings undo the forms that can be undone without the secret (escapes of JSON, URLs and HTML). This file covers the
 * others: hex, and base64, which depends on the bytes before the secret.
 */
import { isUtf8 } from 'node:buffer';
import { fold, hashAt, type Marks } from './marks.ts';
import { type Reading, readingsOf } from './readings.ts';

const RUN = 8;
const SHORTEST = 4;

export class SecretForms {
  /** All long forms, folded, and the hash of each run in them. */
  private readonly forms: string;
  private readonly runs = new Set<number>();
  private readonly short: readonly string[];

  constructor(secrets: Iterable<string | Buffer>) {
    const all = new Set<string>();
    for (const secret of secrets) for (const form of formsOf(secret)) all.add(fold(form));
    const long = [...all].filter((form) => form.length >= RUN);
    this.short = [...all].filter((form) => form.length >= SHORTEST && form.length < RUN);
    this.forms = long.join('\n');
    for (const form of long) {
      for (let at = 0; at + RUN <= form.length; at++) this.runs.add(hashAt(form, at, RUN));
    }
  }

  mark(reading: Reading, folded: string, marks: Marks): void {
    for (const form of this.short) marks.addAll(reading, folded, form);
    for (let at = 0; at + RUN <= folded.length; at++) {
      if (!this.runs.has(hashAt(folded, at, RUN)) || !this.forms.includes(folded.slice(at, at + RUN))) continue;
      marks.add(reading, at, at + RUN);
    }
  }
}

function* formsOf(secret: string | Buffer): Generator<string> {
  if (typeof secret !== 'string') {
    if (isUtf8(secret)) yield* formsOf(secret.toString('utf8'));
    else {
      yield secret.toString('latin1');
      yield* encoded(secret);
    }
    return;
  }
  if (secret.length < SHORTEST) return;
  // The readings of the secret too: one that looks escaped is unescaped together with the answer.
  const texts = new Set([secret.trim(), secret.toLowerCase(), ...readingsOf(secret).map(({ text }) => text)]);
  texts.add(encodeURIComponent(secret.toWellFormed())).add(JSON.stringify(secret).slice(1, -1));
  for (const text of texts) {
    yield text;
    const bytes = Buffer.from(text, 'utf8');
    yield* encoded(bytes);
    if (bytes.length !== text.length) yield* encoded(Buffer.from(text, 'latin1'));
  }
}

/** Hex, and base64 on its own and behind one and two other bytes, without the characters that these have a part in. */
function* encoded(bytes: Buffer): Generator<string> {
  yield bytes.toString('hex');
  yield bytes.toString('base64url');
  for (const before of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]);
    const from = Math.ceil((before * 8) / 6);
    yield whole.toString('base64url').slice(from, Math.floor((whole.length * 8) / 6));
  }
}
