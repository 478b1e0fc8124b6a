import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load-config.ts';

const env = {
  SLACK_WEBHOOK_URL: 'https://hooks.slack.com/services/T0/B0/x',
  SLACK_BOT_TOKEN: 'xoxb-1',
  SMTP_URL: 'smtps://me:word@mail.example.com',
  DISCORD_WEBHOOK_URL: 'https://discord.com/api/webhooks/1/x',
};

/** Files that the examples name by a relative path, in their folder. */
const FILES = {
  'slack/order.liquid': '[{"type": "divider"}]',
  'mails/default.subject.liquid': 'a',
  'mails/default.text.liquid': 'a',
  'pagerduty.liquid': '{}',
};

test.each(['sinks/slack.md', 'sinks/email.md', 'templates.md'])('the configuration in docs/%s is sound', (page) => {
  const folder = mkdtempSync(join(tmpdir(), 'walpost-docs-'));
  try {
    for (const [name, text] of Object.entries(FILES)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    const text = readFileSync(join(import.meta.dirname, '../../docs', page), 'utf8');
    const sinks = /```yaml\n(sinks:\n[\s\S]*?)```/.exec(text)?.[1] ?? '';
    const here = sinks.replace(/(?<=: )(?:\.\/)?(mails|slack\/|pagerduty)/g, (found) => join(folder, found));
    const path = join(folder, 'walpost.yaml');
    writeFileSync(
      path,
      `database: { url: postgres://localhost/app }\n${here}\nroutes: [{ to: [${/^ {2}(\w+):/m.exec(here)?.[1]}] }]\n`,
    );
    expect(Object.keys(loadConfig({ path, env }).sinks).length).toBeGreaterThan(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
