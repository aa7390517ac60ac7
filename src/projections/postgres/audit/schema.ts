/** The tables of the audit: a step of the schema. How far it is, and whatever it has ever found. */
export const auditTables = `create table tallyback.audit (
    only_row boolean primary key default true check (only_row),
    position text collate "C" not null,
    state json not null,
    last_success_at timestamptz not null
  ) with (fillfactor = 50);
  create table tallyback.audit_finding (
    id bigint generated always as identity primary key,
    model text collate "C" not null,
    number int not null,
    key text not null,
    column_name text not null,
    stored text,
    "right" text,
    found_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    mended_at timestamptz
  );
  create unique index on tallyback.audit_finding (model, number, md5(key), column_name) where mended_at is null;`;
