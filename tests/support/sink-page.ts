import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** The sink in the first configuration of docs/sinks/<type>.md, with some of its texts replaced. */
export function exampleOf(type: string, replaced: Readonly<Record<string, string>> = {}): unknown {
  const page = readFileSync(join(import.meta.dirname, `../../docs/sinks/${type}.md`), 'utf8');
  let [, example = ''] = /```yaml\n([^]*?)```/.exec(page) ?? [];
  for (const [text, value] of Object.entries(replaced)) example = example.replaceAll(text, value);
  const { sinks = {} } = parse(example) as { sinks?: Record<string, unknown> };
  return Object.values(sinks)[0];
}
