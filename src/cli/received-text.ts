import { printable } from '../observe/printable.ts';
import { memberOf, partsOf } from './json-text.ts';
import { fitted, terminalWidth } from './text-table.ts';
import type { SignatureFinding } from './signature-check.ts';

const FINDINGS: Readonly<Record<SignatureFinding, string>> = {
  verified: 'signature verified',
  wrong: 'WRONG SIGNATURE, refused: sent with another secret',
  old: 'OLD SIGNATURE, refused: its time differs by more than five minutes',
  missing: 'NO SIGNATURE, refused: the sink here has a secret',
  unsigned: 'not signed',
  unknown: 'signed, not verified: no secret is known',
};

/** Of the time at the left. */
const INDENT = 10;

/** What came, for people: one line for the request, one for each event, with the payload as it was sent: the terminal breaks it. */
export function receivedText({ body, finding, at }: { body: string; finding: SignatureFinding; at: Date }): string {
  const time = at.toISOString().slice(11, 19);
  const parsed = parse(body);
  if (parsed === undefined) return `${time}  ${FINDINGS[finding]}; no JSON: ${printable(body.slice(0, 300))}\n`;
  const texts = Array.isArray(parsed) ? partsOf(body) : partsOf(memberOf(body, 'events') ?? '');
  const events = texts.length > 0 ? texts : [body];
  const value = (name: string): string | undefined => {
    const json = Array.isArray(parsed) ? undefined : memberOf(body, name);
    return json === undefined ? undefined : plain(json);
  };
  const [organization, sink, attempt] = [value('organization_id'), value('sink'), value('attempt')];
  const from = organization === undefined ? '' : ` of organization ${organization}`;
  const how = sink === undefined ? '' : `, sink ${sink}, attempt ${attempt ?? 'unknown'}`;
  const head = `${events.length} event${events.length === 1 ? '' : 's'}${from}${how}: ${FINDINGS[finding]}`;
  return [
    fitted(`${time}  ${printable(head)}`, terminalWidth(process.stdout), INDENT),
    ...events.map(eventLine),
    '',
  ].join('\n');
}

/** In the form of walpost, or of CloudEvents; anything else as it is. */
function eventLine(event: string): string {
  const field = (...names: string[]): string | undefined =>
    names.map((name) => memberOf(event, name)).find((value) => value !== undefined);
  const type = field('event_type', 'type');
  if (type === undefined) return `  ${printable(event)}`;
  const [id, payload] = [field('event_id', 'id') ?? '', field('payload', 'data') ?? ''];
  const replay = field('replay');
  const again = replay === undefined || replay === 'null' ? '' : `  ${plain(replay)}`;
  return `  ${printable(`${plain(type)}  ${plain(id)}  ${payload}${again}`)}`;
}

function plain(json: string): string {
  return json.startsWith('"') ? (JSON.parse(json) as string) : json;
}

function parse(body: string): object | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
