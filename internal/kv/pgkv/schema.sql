-- The tables and functions of the store, format 1. All names stand in a schema
-- of their own. Functions carry a number and never change: nodes of two
-- versions work side by side on one database.

create table kvmeta (
  one boolean primary key default true check (one),
  format int not null,             -- of tables and functions
  system text not null,            -- identifier of the cluster that this database was last opened in
  base bigint not null,            -- epoch = base + timeline
  timeline bigint not null,        -- the highest that was seen
  forgotten bigint[] not null      -- per token table: slots up to this one are gone
);

-- Keys and values. Most updates are of head rows and stay on their page
-- (no index on v or r; fillfactor). Values are stored as they are: what is worth
-- compressing was compressed before it came here.
create table kv (k bytea primary key, v bytea not null, r bigint not null)
  with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);
alter table kv alter k set storage plain, alter v set storage external;

-- One token per commit, to learn the outcome of a commit whose reply was lost.
-- Slots of 15 minutes take turns with two tables, so that old ones go by truncate.
create table kvtok0 (t uuid primary key, slot bigint not null, fenced boolean not null default false)
  with (autovacuum_enabled = false);
create table kvtok1 (t uuid primary key, slot bigint not null, fenced boolean not null default false)
  with (autovacuum_enabled = false);

-- Takes the locks in the order given and returns the slot of this moment.
create function kv_lock1(locks bigint[]) returns bigint language plpgsql as $$
declare h bigint;
begin
  foreach h in array locks loop
    perform pg_advisory_xact_lock(h);
  end loop;
  return floor(extract(epoch from clock_timestamp()) / 900);
end $$;

-- Applies the writes of one transaction if all revisions are as they were read.
-- Guards are held by advisory locks and only compared. Expected keys lie outside
-- them: their rows are locked, and one that must be absent is put there for the
-- length of the transaction, so that nobody else can.
create function kv_apply1(in_slot bigint, tok uuid, guard_k bytea[], guard_r bigint[],
  expect_k bytea[], expect_r bigint[], put_k bytea[], put_v bytea[], del_k bytea[], rev bigint)
  returns void language plpgsql as $$
begin
  if cardinality(expect_k) > 0 then
    insert into kv (k, v, r)
      select distinct e.k, ''::bytea, 0 from unnest(expect_k, expect_r) as e(k, r) where e.r = 0 order by e.k
      on conflict (k) do nothing;
    perform 1 from kv where k = any(expect_k || put_k || del_k) order by k for no key update;
  end if;
  perform 1 from unnest(guard_k || expect_k, guard_r || expect_r) as c(k, r) left join kv on kv.k = c.k
    where coalesce(kv.r, 0) <> c.r;
  if found then
    raise exception 'a guard or an expected key changed' using errcode = 'KV001';
  end if;
  if in_slot % 2 = 0 then
    insert into kvtok0 (t, slot) values (tok, in_slot);
  else
    insert into kvtok1 (t, slot) values (tok, in_slot);
  end if;
  if cardinality(del_k) > 0 then
    delete from kv where k = any(del_k);
  end if;
  if cardinality(put_k) > 0 then
    insert into kv as x (k, v, r) select p.k, p.v, rev from unnest(put_k, put_v) as p(k, v) order by p.k
      on conflict (k) do update set v = excluded.v, r = excluded.r;
  end if;
  if cardinality(expect_k) > 0 then
    delete from kv where k = any(expect_k) and r = 0;
  end if;
end $$;

-- Learns whether the commit with this token happened: true, it did; false, it
-- did not and never can. The answer is the same however often it is asked. It is
-- always a write, so that it waits for the standby as the commit itself would.
-- A slot of the future is of a database whose clock was set back: kv_trim1 may
-- have emptied its table, so that nothing is known of it.
create function kv_resolve1(in_slot bigint, tok uuid) returns boolean language plpgsql as $$
declare
  happened boolean;
  gone bigint;
begin
  if in_slot % 2 = 0 then
    insert into kvtok0 as x (t, slot, fenced) values (tok, in_slot, true)
      on conflict (t) do update set fenced = x.fenced returning not x.fenced into happened;
  else
    insert into kvtok1 as x (t, slot, fenced) values (tok, in_slot, true)
      on conflict (t) do update set fenced = x.fenced returning not x.fenced into happened;
  end if;
  select forgotten[1 + in_slot % 2] into gone from kvmeta;
  if in_slot <= gone or in_slot > floor(extract(epoch from clock_timestamp()) / 900) + 1 then
    raise exception 'the token is too old' using errcode = 'KV002';
  end if;
  return happened;
end $$;

-- Empties the token table whose turn is over, once a third of the present slot
-- has passed; transactions that still use it make this one give up. The time is
-- given in slots. Tokens of the next slot are of a primary whose clock was a
-- little ahead, and wait; those beyond it are of a clock that was wrong.
create function kv_trim1(now_slot numeric) returns boolean language plpgsql as $$
declare
  this bigint := floor(now_slot)::bigint;
  old int := 1 - (floor(now_slot)::bigint % 2)::int;
  last bigint;
  fresh boolean;
begin
  if now_slot - this < 1.0 / 3 or not pg_try_advisory_xact_lock(1701078373, 1) then
    return false;
  end if;
  execute format('lock table kvtok%s in access exclusive mode nowait', old);
  execute format('select max(slot), bool_or(slot between $1 and $1 + 1) from kvtok%s', old) into last, fresh using this;
  if last is null or fresh then
    return false;
  end if;
  update kvmeta set forgotten[1 + old] = least(last, this - 1);
  execute format('truncate table kvtok%s', old);
  return true;
exception when lock_not_available then
  return false;
end $$;

-- For an operator who has put back a copy from before: what readers know of the
-- lost time is no longer taken for true.
create function kv_raise_epoch() returns bigint language sql as
  $$ update kvmeta set base = base + 1024 returning base + timeline $$;
