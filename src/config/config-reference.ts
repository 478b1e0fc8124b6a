import { optionGroups, type OptionGroup, type OptionRow } from './option-table.ts';

const HEAD = `# Configuration

<!-- Made from src/config/schema.ts by \`npm run docs:config\`; edits here are lost. -->

walpost reads \`walpost.yaml\` from the working directory, or the file that \`--config\` or \`WALPOST_CONFIG\` names. There is a
commented one in [examples/walpost.yaml](../examples/walpost.yaml).

- **Variables.** \`\${NAME}\` takes the value of an environment variable, \`\${NAME:-default}\` falls back when it is unset or
  empty, \`$\${\` stands for the characters themselves. A variable that is missing is a problem, not an empty text.
- **Files.** \`\${file:/run/secrets/x}\` takes the text of a file, without line breaks at its end. It is read again on SIGHUP,
  while the environment of a process never changes.
- **\`.env\`** in the working directory adds to the environment that the configuration sees. A variable that is set wins. Put a
  value with \`#\` in single quotes, \`KEY='ab#cd'\`: without quotes it is refused, unless the \`#\` begins a comment after a blank.
  Single, double and back quotes are taken off; in double quotes \`\\n\` is a line break. A file that walpost may not read counts as
  absent, with a warning of \`config check\` and \`run\`. Variables of libpq, such as \`PGPASSWORD\`, have no effect there and are
  refused, unless walpost.yaml takes them: \`\${PGPASSWORD}\` ([connecting](connecting.md#variables-of-libpq)).
- **Environment.** Every option can also be set as \`WALPOST__SECTION__KEY\`: \`WALPOST__BATCHING__WINDOW=100ms\`,
  \`WALPOST__SINKS__N8N__URL=…\`, and lists and maps in YAML's flow form: \`WALPOST__DELIVERY__BACKOFF='[1m, 5m]'\`.
  Only the file fills in \`\${…}\`: in such a variable, in \`--set\`, and in what walpost.yaml takes from \`.env\`, it is refused.
- **Flags.** \`--set batching.window=100ms\` wins over the environment, which wins over the file.
- **Durations** are written \`250ms\`, \`2s\`, \`1m\`, \`24h\`, \`3d\`; **sizes** \`512B\`, \`64KiB\`, \`1MiB\`, \`2GiB\`; **rates** \`100/s\`, \`30/m\`, \`500/h\`.
- \`walpost config check\` lists every problem with its line and column, \`walpost config print\` shows what is in effect and
  where each value comes from, \`walpost config schema\` prints a JSON Schema for editors. Secrets are never shown.
`;

/** docs/configuration.md, from the schema alone. */
export function configReference(): string {
  return `${[HEAD, ...optionGroups().map(groupText)].join('\n').trimEnd()}\n`;
}

function groupText(group: OptionGroup): string {
  const head = `## ${group.title}\n\n${group.description}\n`;
  if (group.rows.length === 0) return head;
  const table = [['option', 'type', 'default', ''], ...group.rows.map(cellsOf)];
  const widths = [0, 1, 2, 3].map((column) => Math.max(3, ...table.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  const [first = [], ...rest] = table;
  return `${head}\n${[line(first), rule, ...rest.map(line)].join('\n')}\n`;
}

function cellsOf(row: OptionRow): string[] {
  const fallback = row.required ? 'required' : row.fallback === undefined ? '' : `\`${flowText(row.fallback)}\``;
  const description = row.secret ? `${row.description} A secret.` : row.description;
  return [`\`${row.path}\``, row.type, fallback, description.replaceAll('|', '\\|')];
}

/** A value as it would stand in the file, on one line. */
export function flowText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flowText).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, child]) => `${key}: ${flowText(child)}`);
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
  }
  if (typeof value !== 'string') return String(value);
  return /^[A-Za-z0-9_./:@+-]*[A-Za-z0-9_/]$/.test(value) && Number.isNaN(Number(value))
    ? value
    : JSON.stringify(value);
}
