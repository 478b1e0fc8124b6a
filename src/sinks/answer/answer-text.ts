/**
 * Makes an answer of a destination fit to be kept for operators: one line of at most 300 characters, without the secrets of
 * the sink and without what was sent. This code runs only for a refusal.
 */
import { scrub } from '../../observe/redact.ts';
import { fold, Marks } from './marks.ts';
import { decodedBase64, MOST_READ, readingsOf } from './readings.ts';
import { SecretForms } from './secret-forms.ts';
import { markValues, MOST_COMPARED, repeatsRequest, type Sent } from './sent-events.ts';
import { wireString } from '../../wire-text.ts';

const MAX_LENGTH = 300;
/** A cut answer loses its last characters too: they may be the beginning of a secret. */
const DOUBTFUL = 64;
export const REPEATS_REQUEST = '(not kept: it repeats the request)';
export const REQUEST_TOO_LARGE = '(not kept: the request was too large to be compared with it)';

const CONTROL = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]+/gu;
/** The length of the scheme is bounded, or a text of letters and dots would take quadratic time. */
const URL_LIKE = /([a-z][a-z0-9+.-]{0,31}:\/\/)(?:[^\s/?#@]*@)?([^\s/?#"'<>]+)[^\s"'<>]*/gi;
const HALF_A_PAIR = /[\ud800-\udbff]$/;

export interface Said {
  readonly text: string;
  /** The answer was longer than what was read. */
  readonly cut: boolean;
}

export class AnswerText {
  private readonly secrets: () => Iterable<string | Buffer>;
  private forms: SecretForms | undefined;

  /** Called when the first answer has to be kept. */
  constructor(secrets: () => Iterable<string | Buffer>) {
    this.secrets = secrets;
  }

  /** Undefined for an empty answer. `fresh`: secrets of this request alone, such as its signature. */
  keep(said: Said, sent: Sent, fresh: readonly string[] = []): string | undefined {
    const text = said.text.slice(0, MOST_READ);
    if (text.trim() === '') return undefined;
    if (wireString(sent.body).length > MOST_COMPARED) return REQUEST_TOO_LARGE;
    const readings = readingsOf(text);
    const inside = readings.flatMap(decodedBase64);
    const all = [...readings, ...inside];
    if (repeatsRequest(sent, all)) return REPEATS_REQUEST;
    const marks = new Marks(text.length);
    this.forms ??= new SecretForms(this.secrets());
    const own = fresh.length > 0 ? new SecretForms(fresh) : undefined;
    for (const reading of readings) {
      const folded = fold(reading.text);
      this.forms.mark(reading, folded, marks);
      own?.mark(reading, folded, marks);
    }
    markValues(sent.events, all, marks);
    const isCut = said.cut || text.length < said.text.length;
    return oneLine(marks.blotted(isCut ? text.slice(0, -DOUBTFUL) : text)) || undefined;
  }
}

/** Keeps only the host of a URL: the path of a webhook is a secret, and so are credentials. */
function oneLine(text: string): string {
  const plain = scrub(text.toWellFormed().replace(URL_LIKE, '$1$2'));
  const clean = plain.replace(CONTROL, ' ').replace(/\s+/g, ' ').trim();
  return clean.length > MAX_LENGTH ? `${clean.slice(0, MAX_LENGTH - 1).replace(HALF_A_PAIR, '')}…` : clean;
}
