// What a Dockerfile says, and what is wrong with it, as JSON.
import { readFileSync } from 'node:fs';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';

const text = readFileSync(process.argv[2], 'utf8');
const file = DockerfileParser.parse(text);
const last = file.getFROMs().at(-1).getRange().start.line;
const final = file.getInstructions().filter(i => i.getRange().start.line >= last);
const env = {};
for (const e of final.filter(i => i.getKeyword() === 'ENV'))
  for (const p of e.getProperties()) env[p.getName()] = p.getValue();
const words = k => final.filter(i => i.getKeyword() === k).map(i => i.getArgumentsContent());
console.log(JSON.stringify({
  problems: validate(text).map(d => `line ${d.range.start.line + 1}: ${d.message}`),
  from: words('FROM')[0], copy: words('COPY'), user: words('USER')[0], env,
  entrypoint: words('ENTRYPOINT')[0], health: words('HEALTHCHECK')[0], expose: words('EXPOSE')[0], volume: words('VOLUME')[0],
}));
