import { type Browser, chromium } from 'playwright-core';
import { programMissing } from './debian-package.ts';

const CHROMIUM = '/usr/bin/chromium-headless-shell';

/** It asks nobody but the test for anything. */
const OPTIONS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Why there is no browser, in one line; undefined when there is one. Call it at the top of a test file. */
export function chromiumMissing(): Promise<string | undefined> {
  return programMissing(CHROMIUM, 'chromium-headless-shell');
}

export function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: OPTIONS });
}
