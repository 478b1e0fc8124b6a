import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { psqlDatabase } from '../../src/doctor/checks/slot.ts';

test.each(['app', 'my app', "it's", 'back\\slash', '$(id)'])('%s is one word of a shell', (name) => {
  const word = execFileSync('/bin/sh', ['-c', `printf %s ${psqlDatabase(name)}`], { encoding: 'utf8' });
  const value = /^dbname=(?:'((?:[^'\\]|\\.)*)'|(\S+)) replication=database$/.exec(word);
  expect((value?.[1] ?? value?.[2])?.replaceAll(/\\(.)/g, '$1')).toBe(name);
});
