/** Situations of the way to the database, and of what has to be there before events flow. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { Certificates } from '../../support/certificates.ts';
import { TlsFront } from '../../support/tls-front.ts';
import type { Scene } from '../scene.ts';
import { ACME, STREAMS } from '../stage.ts';

const ended: Scene = {
  symptom: '`walpost run` has ended, exit code 1 or 2',
  says: {
    cause: /NO_REPLICATION_ROLE The role may not start replication/,
    subject: /It is "walpost"/,
    remedy: /ALTER ROLE "?walpost"? REPLICATION/,
  },
  over: STREAMS,
  async play(stage) {
    await stage.database.query('ALTER ROLE walpost NOREPLICATION');
    stage.transcript.begins('Somebody took the attribute REPLICATION from the role of the relay.');
    await stage.walpost(['run'], [/REPLICATION/]);
    stage.transcript.remedy('The statement that is printed:');
    await stage.sql('ALTER ROLE walpost REPLICATION');
    await stage.run(STREAMS);
  },
};

const password: Scene = {
  symptom: '`AUTHENTICATION` or `PASSWORD_MISSING`',
  says: {
    cause: /AUTHENTICATION The server refused the user name or the password/,
    subject: /user "walpost"/,
    remedy: /Correct them in database\.url/,
  },
  over: STREAMS,
  async play(stage) {
    const url = new URL(stage.database.relayUrl);
    url.password = 'of-yesterday';
    stage.env({ DATABASE_URL: url.href });
    stage.transcript.begins('The password in `.env` is not the one of the role.');
    await stage.walpost(['run'], [/AUTHENTICATION/]);
    await stage.walpost(['status'], [/password/]);
    stage.env({});
    stage.transcript.remedy('The password in `.env` is corrected:');
    await stage.run(STREAMS);
  },
};

const authority: Scene = {
  symptom: '`TLS_UNTRUSTED`, again and again',
  says: {
    cause: /TLS_UNTRUSTED The certificate of the server is of no CA that walpost trusts/,
    subject: /At localhost:\d+: unable to verify the first certificate/,
    remedy: /sslrootcert/,
  },
  over: STREAMS,
  async play(stage) {
    using files = new Certificates();
    const ca = files.ca('ca');
    await using front = await TlsFront.start(files.issue(ca), stage.database.server.port);
    const url = new URL(stage.database.relayUrl);
    [url.hostname, url.port] = ['localhost', String(front.port)];
    url.searchParams.set('sslmode', 'verify-full');
    stage.env({ DATABASE_URL: url.href });
    stage.transcript.begins(
      '`sslmode=verify-full`, and the certificate of the server was issued by a CA of the company.',
    );
    await stage.walpost(['jobs', 'list'], [/TLS_UNTRUSTED/]);
    const running = await stage.run(/TLS_UNTRUSTED/);
    await running.stop();
    copyFileSync(ca.cert, join(stage.directory, 'company-ca.crt'));
    url.searchParams.set('sslrootcert', 'company-ca.crt');
    stage.env({ DATABASE_URL: url.href });
    stage.transcript.remedy('`&sslrootcert=company-ca.crt` is added to `DATABASE_URL`:');
    const trusting = await stage.run(STREAMS);
    await trusting.stop();
  },
};

const publication: Scene = {
  symptom: '`PUBLICATION_MISSING` while it runs',
  says: {
    cause: /PUBLICATION_MISSING/,
    subject: /It is "walpost"/,
    remedy: /CREATE PUBLICATION "walpost" FOR TABLE "walpost"\."outbox"/,
  },
  over: STREAMS,
  async play(stage) {
    const running = await stage.run(STREAMS);
    await stage.database.query('DROP PUBLICATION walpost');
    stage.transcript.begins('Somebody drops the publication while walpost streams.');
    const log = await running.shows(/CREATE PUBLICATION .*\);/);
    await stage.publish(ACME, 2);
    const [statement = ''] = /CREATE PUBLICATION .*?\);/.exec(log.replace(/\s+/g, ' ')) ?? [];
    stage.transcript.remedy(
      'The statement that is printed, and a new start. What was written meanwhile is read from the table:',
    );
    await stage.sql(statement);
    await stage.run(STREAMS);
    await stage.receiver.received(2);
  },
};

const migration: Scene = {
  symptom: '`MIGRATION_MISSING`',
  migrated: false,
  says: {
    cause: /MIGRATION_MISSING The walpost schema is missing/,
    subject: /To be applied: 001/,
    remedy: /Run `walpost migrate`/,
  },
  over: STREAMS,
  async play(stage) {
    stage.transcript.begins('A new database, or a new release of walpost.');
    await stage.walpost(['run'], [/MIGRATION_MISSING/]);
    await stage.walpost(['status']);
    stage.transcript.remedy('As the owner:');
    await stage.walpost(['migrate'], [], { DATABASE_URL: stage.database.ownerUrl });
    await stage.sql('GRANT walpost_relay TO walpost');
    await stage.run(STREAMS);
  },
};

const secrets: Scene = {
  symptom: '`CONFIG_INVALID` after a deployment',
  says: { cause: /CONFIG_INVALID/, subject: /CRM_SECRET/, remedy: /Correct each line named above/ },
  over: STREAMS,
  async play(stage) {
    stage.env({ CRM_SECRET: undefined });
    stage.transcript.begins('`.env` has no `CRM_SECRET`.');
    await stage.walpost(['run'], [/CRM_SECRET/]);
    await stage.walpost(['status']);
    stage.env({});
    stage.transcript.remedy('It is set:');
    await stage.walpost(['config', 'check']);
    await stage.run(STREAMS);
  },
};

export const SETUP_SCENES: readonly Scene[] = [ended, password, authority, secrets, migration, publication];
