/** CAs and certificates of a test's own, made by openssl, in a directory that the server may read. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Issue {
  /** Subject alternative names, such as DNS:localhost or IP:127.0.0.1. */
  readonly names?: readonly string[];
  /** The common name. */
  readonly name?: string;
  /** Ended yesterday. */
  readonly expired?: boolean;
}

const NOBODY = 65_534;

export class Certificates implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'walpost-certificates-'));
  private count = 0;

  constructor() {
    chmodSync(this.directory, 0o755);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  ca(name: string): Certificate {
    const made = this.pair(name);
    const subject = ['-subj', `/CN=${name}`, '-addext', 'basicConstraints=critical,CA:TRUE'];
    openssl('req', '-x509', '-key', made.key, '-out', made.cert, '-days', '2', ...subject);
    return made;
  }

  issue(ca: Certificate, { names = ['DNS:localhost'], name = 'server', expired = false }: Issue = {}): Certificate {
    const made = this.pair(`${name}-${++this.count}`);
    const request = `${made.cert}.csr`;
    const extensions = `${made.cert}.ext`;
    writeFileSync(extensions, `subjectAltName=${names.join(',')}\n`);
    openssl('req', '-new', '-key', made.key, '-out', request, '-subj', `/CN=${name}`);
    const days = expired ? ['-days', '-1'] : ['-days', '2'];
    const signed = ['-CA', ca.cert, '-CAkey', ca.key, '-CAcreateserial', '-extfile', extensions];
    openssl('x509', '-req', '-in', request, '-out', made.cert, ...signed, ...days);
    return made;
  }

  /** Puts a certificate where the server looks for it, with the rights that it demands. */
  serve({ cert, key }: Certificate): void {
    for (const [from, name] of [
      [cert, 'server.crt'],
      [key, 'server.key'],
    ] as const) {
      const to = this.path(name);
      rmSync(to, { force: true });
      copyFileSync(from, to);
      chmodSync(to, 0o600);
      if (process.getuid?.() === 0) chownSync(to, NOBODY, NOBODY);
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }

  private pair(name: string): Certificate {
    const made = { cert: this.path(`${name}.crt`), key: this.path(`${name}.key`) };
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', made.key);
    return made;
  }
}

function openssl(...words: string[]): void {
  execFileSync('openssl', words, { stdio: 'pipe' });
}
