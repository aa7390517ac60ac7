/** Running the short-lived programs of Postgres (initdb, pg_ctl, --version). */
import { execFile } from 'node:child_process';
import { parse } from 'node:path';
import type { Account } from './account.ts';
import { errorCode, errorText } from './errors.ts';

/**
 * The environment of everything we start. Nothing of ours is handed down: PG* variables would change what Postgres
 * does, and the rest holds secrets that are no business of the account it runs as.
 */
export function childEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = ['PATH', 'LD_LIBRARY_PATH', 'SystemRoot', 'TEMP', 'TMP'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  // Messages in English, because a few of them are read (server.ts).
  return { ...Object.fromEntries(kept), LC_ALL: 'C', LANG: 'C', TZ: 'UTC', ...extra };
}

/** Where children start unless they need to be elsewhere: our own folder may be closed to their account. */
export const neutralFolder = parse(process.execPath).root;

export type CommandResult =
  { readonly ok: true; readonly output: string } | { readonly ok: false; readonly problem: string };

export function runCommand(
  file: string,
  args: readonly string[],
  options: { account: Account; cwd: string; timeoutMs: number },
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const settings = {
      ...options.account.credentials,
      cwd: options.cwd,
      timeout: options.timeoutMs,
      env: childEnvironment(),
      windowsHide: true,
    };
    try {
      execFile(file, args, settings, (error, stdout, stderr) => {
        if (!error) return resolve({ ok: true, output: stdout });
        const said = stderr.trim();
        const why = error.killed ? `no answer in ${options.timeoutMs / 1000} s` : said || errorText(error);
        resolve({ ok: false, problem: why });
      });
    } catch (error) {
      // A container's root without the capabilities SETUID and SETGID.
      const forbidden = options.account.switched && errorCode(error) === 'EPERM';
      const why = forbidden ? `this root may not become ${options.account.name}` : errorText(error);
      resolve({ ok: false, problem: why });
    }
  });
}
