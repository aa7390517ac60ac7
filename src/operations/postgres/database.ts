/** The role and the database that Tallyback uses, made when they are missing. */
import { Client } from 'pg';
import { superuser } from './cluster.ts';

const databaseName = 'tallyback';
/** Not a superuser: that one can read files and run programs, and no row security holds for it. */
const roleName = 'tallyback';

export async function ensureDatabase(port: number, password: string): Promise<string> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: superuser,
    password,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: 30_000,
    application_name: 'tallyback-setup',
  });
  client.on('error', () => undefined); // a lost connection also fails the statement under way, and is told there
  await client.connect();
  try {
    const roles = await client.query('select from pg_roles where rolname = $1', [roleName]);
    if (roles.rowCount === 0) {
      // CREATEDB for tools and tests that want databases of their own.
      await client.query(`create role ${roleName} login createdb password ${client.escapeLiteral(password)}`);
      await client.query(`grant pg_monitor to ${roleName}`);
    }
    const databases = await client.query('select from pg_database where datname = $1', [databaseName]);
    if (databases.rowCount === 0) await client.query(`create database ${databaseName} owner ${roleName}`);
  } finally {
    await client.end();
  }
  return databaseUrl(port, password);
}

/** Connection string of the database. */
export const databaseUrl = (port: number, password: string): string =>
  `postgresql://${roleName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${databaseName}`;
