// Lets WildDuck's black-box IMAP tests run against this server: Node loads it
// before them. What they expect of WildDuck's own machine (a database shell, a
// configuration, a port, a user "testuser") is answered here; what they send
// and expect over IMAP is theirs.
'use strict';
const Module = require('node:module');
const childProcess = require('node:child_process');
const path = require('node:path');
const tls = require('node:tls');
const { seed } = require('./seed.cjs');

const host = process.env.T_HOST;
const port = Number(process.env.T_IMAPS_PORT);
let account;

const load = Module._load;
Module._load = function (name, parent, isMain) {
  if (name === '@zone-eu/wild-config') return { dbs: { dbname: 'none' } };
  const loaded = load.call(this, name, parent, isMain);
  if (name !== './test-client.js') return loaded;
  return (options, done) =>
    loaded({ ...options, host, port, commands: [].concat(options.commands).map(translate) }, done);
};

// translate puts our account in the place of theirs.
function translate(command) {
  if (Array.isArray(command)) return command.map(translate);
  if (typeof command !== 'string') return command;
  const plain = (user, pass) => Buffer.from(`\0${user}\0${pass}`).toString('base64');
  return command
    .replace(/LOGIN testuser pass\b/, `LOGIN ${account.user} ${account.pass}`)
    .replace(plain('testuser', 'pass'), plain(account.user, account.pass));
}

// A connection that waits for what does not come ends by itself.
const patience = 8000;
const connect = tls.connect;
tls.connect = (...args) => {
  const socket = connect(...args);
  const timer = setTimeout(() => socket.destroy(), patience);
  socket.on('close', () => clearTimeout(timer));
  return socket;
};

childProcess.exec = (command, options, done) => {
  done ??= options;
  if (!/prepare\.sh/.test(command)) return void setImmediate(done, null, '', '');
  seed(path.join(options.cwd, 'fixtures')).then(
    (a) => {
      account = a;
      done(null, '', '');
    },
    (err) => done(err),
  );
};
