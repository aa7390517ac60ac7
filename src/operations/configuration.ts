/** Settings of a server, from the command line and the environment. All that is wrong is said at once. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export interface ServerConfiguration {
  /** Where the gRPC API listens. */
  readonly listen: string;
  /** Folder of the embedded Postgres; unused with `databaseUrl`. */
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  readonly postgresBinDir: string | undefined;
  /** Extra settings of the embedded Postgres. */
  readonly postgresSettings: Readonly<Record<string, string>>;
  /** Signs position tokens; undefined: a key kept in the database, shared by all instances on it. */
  readonly tokenKey: string | undefined;
}

/** A setting is missing or wrong; the message says which and how. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const known = new Set([
  'TALLYBACK_LISTEN',
  'TALLYBACK_DATA',
  'TALLYBACK_POSTGRES_BIN',
  'TALLYBACK_TOKEN_KEY',
  'TALLYBACK_TEST_DATABASE_URL',
]);

export function serverConfiguration(
  flags: { readonly data?: string | undefined; readonly listen?: string | undefined },
  env: Readonly<Record<string, string | undefined>>,
): ServerConfiguration {
  const problems: string[] = [];
  for (const name of Object.keys(env)) {
    if (name.startsWith('TALLYBACK_') && !known.has(name))
      problems.push(`${name} is not a setting of Tallyback`);
  }
  const listen = flags.listen ?? env['TALLYBACK_LISTEN'] ?? '127.0.0.1:7420';
  if (!/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/.test(listen) || Number(listen.split(':').at(-1)) > 65_535) {
    problems.push(`the address to listen on must be HOST:PORT, not "${listen}"`);
  }
  const databaseUrl = env['DATABASE_URL'] || undefined;
  if (databaseUrl !== undefined && !(/^postgres(ql)?:\/\//.test(databaseUrl) && URL.canParse(databaseUrl))) {
    problems.push('DATABASE_URL must be a URL that starts with postgres:// or postgresql://');
  }
  const tokenKey = env['TALLYBACK_TOKEN_KEY'] || undefined;
  if (tokenKey !== undefined && tokenKey.length < 32) {
    problems.push('TALLYBACK_TOKEN_KEY must have at least 32 characters');
  }
  if (problems.length > 0) throw new ConfigurationError(problems.join('\n'));
  return {
    listen,
    dataDir: resolve(flags.data ?? env['TALLYBACK_DATA'] ?? join(homedir(), '.tallyback')),
    databaseUrl,
    postgresBinDir: env['TALLYBACK_POSTGRES_BIN'] || undefined,
    postgresSettings: {},
    tokenKey,
  };
}
