/** docs/evidence/situations.md: written from scenes that were played, and read again by the test. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configuration } from './configuration.ts';
import type { Scene } from './scene.ts';
import type { Step } from './transcript.ts';

const DOCS = join(import.meta.dirname, '../../docs');
const PAGE = join(DOCS, 'evidence/situations.md');
const AFTER = 'What to do.';

const INTRODUCTION = `# Situations

Each row of [When something is wrong](../operations.md#when-something-is-wrong), made for real on a server of its own: what an
operator types in a terminal of 80 columns, what is read there, and the remedy with the output that shows that it is over.
\`npm run evidence:situations\` plays them and writes this page. \`tests/situations\` plays them in each run of the tests, and
checks that cause, subject and remedy are told, and that the remedy works. Times, ports, process ids and ids of events are
those of one run.

Rows of SQL are shown with a name and a value on each line where a table does not fit. \`GET\` is a request to the HTTP
server of the process.

The configuration of all of them, with \`DATABASE_URL\` and \`CRM_SECRET\` in \`.env\`:
`;

export interface Played {
  readonly scene: Scene;
  readonly steps: readonly Step[];
}

/** `npm run evidence:situations`; a scene that failed leaves the page as it was. */
export function writePageWhenAsked(played: readonly Played[], scenes: number): void {
  if (process.env['WALPOST_SITUATIONS'] === 'write' && played.length === scenes) writePage(played);
}

function writePage(played: readonly Played[]): void {
  const sections = played.map(({ scene, steps }) => `## ${scene.symptom}\n\n${partsOf(steps).join('\n\n')}\n`);
  const yaml = `\`\`\`yaml\n${configuration(4000, 9464)}\`\`\`\n`;
  writeFileSync(PAGE, [INTRODUCTION, yaml, ...sections].join('\n'));
}

export interface Section {
  readonly text: string;
  /** Up to the remedy. */
  readonly before: string;
  /** The last output. */
  readonly after: string;
}

/** What was said and typed in a scene and the page does not have. Numbers, such as ports and process ids, are of one run. */
export function missingOnPage({ scene, steps }: Played): string[] {
  const plain = (text: string): string => text.replace(/\d+/g, '0');
  const section = plain(readSection(scene.symptom)?.text ?? '');
  return steps.map(({ prompt }) => plain(prompt)).filter((prompt) => !section.includes(prompt));
}

/** The section of a scene; undefined when the page has none. */
export function readSection(symptom: string): Section | undefined {
  const section = readFileSync(PAGE, 'utf8').split(`\n## ${symptom}\n`)[1]?.split('\n## ')[0];
  if (section === undefined) return undefined;
  const [before = '', after = ''] = section.split(AFTER);
  return { text: section, before, after: after.split('```').at(-2) ?? '' };
}

/** The symptoms that docs/operations.md lists, in its order. */
export function listedSymptoms(): string[] {
  const [, rest = ''] = readFileSync(join(DOCS, 'operations.md'), 'utf8').split('\n## When something is wrong\n');
  const lines = (rest.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| '));
  return lines.slice(2).map((line) => line.split(' | ')[0]?.slice(2).trim() ?? '');
}

/** What the table of situations at night says that this scene shows. */
export function shownAtNight(symptom: string): string | undefined {
  const lines = readFileSync(join(DOCS, 'evidence/night.md'), 'utf8').split('\n');
  const row = lines.find((line) => /\/scenes\/\w+\.ts`: (.+?) +\|$/.exec(line)?.[1] === symptom);
  return row?.split(' | ')[2]?.trim();
}

function partsOf(steps: readonly Step[]): string[] {
  const first = steps.findIndex((step) => step.after);
  return steps.map((step, index) => {
    if (step.kind === 'words') return index === first ? `**${AFTER}** ${step.prompt}` : step.prompt;
    return `\`\`\`${step.kind === 'sql' ? 'text' : 'console'}\n${step.prompt}\n${step.output.replace(/ +$/gm, '')}\n\`\`\``;
  });
}
