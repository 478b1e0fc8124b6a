/**
 * The events that were sent, and whether an answer repeats them.
 *
 * An answer that repeats the request is not kept at all. That is one that shares a long run with the body, contains the whole
 * payload of an event, or names several fields of the envelope with their values. In any other answer the values of the
 * payload, the headers and the names that applications choose are removed. A value of eight or more characters is removed
 * everywhere, a longer one also in part. A value of four to seven characters is removed only as a word of its own; otherwise
 * many answers would lose half of their words.
 */
import type { Event } from '../../event.ts';
import { decodeLatin1, wireString, type WireText } from '../../wire-text.ts';
import { jsonValues } from './json-values.ts';
import { fold, hashAt, type Marks } from './marks.ts';
import { MOST_READ, type Reading, readingsOf } from './readings.ts';

/** An answer to a longer request is not kept, because comparing it would block the process. */
export const MOST_COMPARED = 2 * 1024 ** 2;
/** Longer than an id with its key. */
const LONG_RUN = 48;
/** A value of this length is searched for everywhere. */
const LONG = 8;
/** Of a longer value each part of this length is searched for. Shorter parts are words that many texts share. */
const PART = 12;
const SHORTEST = 4;
const FIELDS =
  /\b(batch_?id|event_?id|event_?type|event_?version|organization_?id|entity_?type|entity_?id|idempotency_?key|created_?at|committed_?at|specversion|datacontenttype|payload)[\]"']*\s*[:=>]/g;
const FIELDS_OF_AN_ECHO = 3;

export interface Sent {
  readonly events: readonly Event[];
  readonly body: WireText;
}

/** True when one of the readings repeats the request. */
export function repeatsRequest({ events, body }: Sent, readings: readonly Reading[]): boolean {
  if (readings.some(({ text }) => fieldsIn(text) >= FIELDS_OF_AN_ECHO)) return true;
  const texts = [...new Set(readings.map(({ text }) => text.replace(/\s/g, '')))];
  if (sharesLongRun(body, texts)) return true;
  return events.some(({ payload }) => {
    const text = wireString(payload);
    if (text.length > 4 * LONG_RUN || !/^\s*[{[]/.test(text)) return false;
    const whole = decodeLatin1(text).replace(/\s/g, '');
    return whole.length >= SHORTEST && texts.some((answer) => answer.includes(whole));
  });
}

function fieldsIn(text: string): number {
  return new Set([...text.matchAll(FIELDS)].map(([, name]) => name)).size;
}

/** Whether one of the texts contains a block of the body, ignoring blanks. Each text is scanned once. */
function sharesLongRun(wireBody: WireText, texts: readonly string[]): boolean {
  const runs = new Set<number>();
  for (const text of texts) for (let at = 0; at + LONG_RUN <= text.length; at++) runs.add(hashAt(text, at, LONG_RUN));
  if (runs.size === 0) return false;
  const body = decodeLatin1(wireString(wireBody)).replace(/\s/g, '');
  for (let at = 0; at + LONG_RUN <= body.length; at += LONG_RUN) {
    if (!runs.has(hashAt(body, at, LONG_RUN))) continue;
    const block = body.slice(at, at + LONG_RUN);
    if (texts.some((text) => text.includes(block))) return true;
  }
  return false;
}

/** Marks the values of these events in the readings. */
export function markValues(events: readonly Event[], readings: readonly Reading[], marks: Marks): void {
  const index = new AnswerIndex(readings, marks);
  for (const event of events) {
    for (const text of [event.idempotencyKey, event.entityId, event.target]) if (text !== null) index.markValue(text);
    for (const value of jsonValues(event.payload)) index.markValue(value);
    for (const value of jsonValues(event.headers)) index.markValue(value);
  }
}

class AnswerIndex {
  private readonly readings: readonly { readonly reading: Reading; readonly folded: string }[];
  private readonly marks: Marks;
  private readonly starts = new Set<number>();
  private readonly done = new Set<string>();

  constructor(readings: readonly Reading[], marks: Marks) {
    this.readings = readings.map((reading) => ({ reading, folded: fold(reading.text) }));
    this.marks = marks;
    for (const { folded } of this.readings) {
      for (let at = 0; at + SHORTEST <= folded.length; at++) this.starts.add(hashAt(folded, at, SHORTEST));
    }
  }

  /** A value is also searched for without its blanks; one that looks escaped, also unescaped. */
  markValue(value: string): void {
    if (value.length < SHORTEST) return;
    if (value.length <= MOST_READ && /[%\\&]/.test(value)) {
      for (const { text } of readingsOf(value)) this.markText(fold(text));
      return;
    }
    this.markText(fold(value));
    if (/\s/.test(value)) this.markText(fold(value.replace(/\s+/g, '')));
  }

  private markText(text: string): void {
    if (text.length < SHORTEST) return;
    if (text.length < LONG) return this.mark(text, true);
    if (text.length < PART) return this.mark(text, false);
    for (let at = 0; at + PART < text.length; at += PART) this.mark(text, false, at, at + PART);
    this.mark(text, false, text.length - PART);
  }

  private mark(text: string, asWord: boolean, from = 0, to = text.length): void {
    if (!this.starts.has(hashAt(text, from, SHORTEST))) return;
    const part = text.slice(from, to);
    if (this.done.has(part)) return;
    this.done.add(part);
    for (const { reading, folded } of this.readings) {
      const isWord = (start: number, end: number): boolean =>
        !isWordCharacter(folded.charAt(start - 1)) && !isWordCharacter(folded.charAt(end));
      this.marks.addAll(reading, folded, part, asWord ? isWord : undefined);
    }
  }
}

function isWordCharacter(text: string): boolean {
  return /[\p{L}\p{N}]/u.test(text);
}
