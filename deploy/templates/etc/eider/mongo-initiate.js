// UNTESTED: never run against a MongoDB. Once, on machine 1, when mongod runs on
// all three, through the door that is open until there is a first user:
//
//   mongosh --quiet --norc mongodb://127.0.0.1/admin /etc/eider/mongo-initiate.js
const primaryWithin = 60; // seconds
rs.initiate({
  _id: "eider",
  members: [
    { _id: 1, host: "10.77.0.1:27017", priority: 2 },
    { _id: 2, host: "10.77.0.2:27017" },
    { _id: 3, host: "10.77.0.3:27017" },
  ],
  // Three members with data, no arbiter: with one, a majority stalls when a
  // machine is lost. A lost primary is replaced after 3 to 5 s.
  settings: { electionTimeoutMillis: 3000, heartbeatIntervalMillis: 1000, catchUpTimeoutMillis: 2000 },
});
for (let i = 0; !db.hello().isWritablePrimary; i++) {
  if (i >= primaryWithin) throw new Error("no primary: see rs.status()");
  sleep(1000);
}
const admin = db.getSiblingDB("admin");
admin.createUser({ user: "admin", pwd: "@MONGO_ADMIN@", roles: ["root"] });
admin.auth("admin", "@MONGO_ADMIN@");
// "replay" is what mongorestore --oplogReplay asks for.
admin.createRole({ role: "replay", privileges: [{ resource: { anyResource: true }, actions: ["anyAction"] }], roles: [] });
admin.createUser({ user: "restore", pwd: "@MONGO_RESTORE@", roles: ["restore", "replay"] });
admin.createUser({ user: "backup", pwd: "@MONGO_BACKUP@", roles: ["backup"] });
// clusterMonitor: Eider asks for transactionLifetimeLimitSeconds and warns.
admin.createUser({ user: "eider", pwd: "@MONGO_EIDER@", roles: [{ role: "readWrite", db: "eider" }, "clusterMonitor"] });
