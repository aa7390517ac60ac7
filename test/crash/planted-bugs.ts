/**
 * Bugs put into a copy of the built server, to show that a round finds them. They name the code that they break: when
 * that changes, so must they.
 */
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Patch {
  /** In the folder of the build. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const unfenced = 'where name = $1 and $2::bigint is not null and $3::text is not null';

/** A writer that has been replaced goes on writing. */
export const noFencing: readonly Patch[] = [
  {
    file: 'projections/postgres/table-sql.js',
    find: 'where name = $1 and epoch = $2 and position = $3 returning 1',
    replace: `${unfenced} returning 1`,
  },
  {
    file: 'projections/postgres/checkpoints.js',
    find: 'where name = $1 and epoch = $2 and position = $3`,',
    replace: `${unfenced}\`,`,
  },
];

/** The checkpoint is moved on, and only then, in another statement, the rows are written. */
export const checkpointFirst: readonly Patch[] = [
  {
    file: 'projections/postgres/rows.js',
    find: 'const answer = await connection.query({ ...statement, values });',
    replace: `await connection.query(
      'update tallyback.checkpoint set position = $4 where name = $1 and epoch = $2 and position = $3',
      values.slice(0, 4));
    values[2] = values[3];
    const answer = await connection.query({ ...statement, values });`,
  },
];

/** Repeats of what a policy asks for are not known as repeats. */
export const newRequestIds: readonly Patch[] = [
  {
    file: 'application/policy-runner.js',
    find: 'requestId: uuidv5(`${policy.name}/${index}/${recorded.stream}`, recorded.id)',
    replace: 'requestId: crypto.randomUUID()',
  },
];

/** Acknowledged as soon as Postgres has it in memory. */
export const notDurable: readonly Patch[] = [
  {
    file: 'eventstore/postgres/database.js',
    find: "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';",
    replace: 'SET synchronous_commit = off;',
  },
  {
    // Any other commit that waits would take along what came before it.
    file: 'operations/pool.js',
    find: "(client) => client.on('error', () => undefined)",
    replace: `(client) => {
      client.on('error', () => undefined);
      client.query('set synchronous_commit = off').catch(() => undefined);
    }`,
  },
];

export interface PlantedServer {
  readonly cli: string;
  remove(): Promise<void>;
}

const root = join(import.meta.dirname, '../..');

/** Throws unless each text is there exactly once: a plant that has not taken proves nothing. */
export async function plant(patches: readonly Patch[]): Promise<PlantedServer> {
  const folder = await mkdtemp(join(tmpdir(), 'tallyback-planted-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await cp(join(root, 'dist'), join(folder, 'dist'), { recursive: true });
    await cp(join(root, 'package.json'), join(folder, 'package.json'));
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    for (const { file, find, replace } of patches) {
      const path = join(folder, 'dist', file);
      const parts = (await readFile(path, 'utf8')).split(find);
      if (parts.length !== 2) throw new Error(`${file} holds ${parts.length - 1} times: ${find}`);
      await writeFile(path, parts.join(replace));
    }
    return { cli: join(folder, 'dist/main/cli.js'), remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
