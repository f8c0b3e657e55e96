// As everyday.py, for node. 110.
const fs = require('fs'), { execFileSync } = require('child_process'), { Worker } = require('worker_threads')
fs.mkdirSync('a/b', { recursive: true })
fs.writeFileSync('a/b/c', 'x')
fs.rmSync('a', { recursive: true })
if (execFileSync('cat', { input: 'x' }).toString() !== 'x') console.log('escaped: 110 a child')
const worker = new Worker("require('worker_threads').parentPort.postMessage(1)", { eval: true })
worker.on('message', async () => {
  await fs.promises.writeFile('f', 'x')
  if (process.argv[2] !== 'reduced') {
    await new Promise(done => { const s = require('net').createServer().listen(0, '127.0.0.1', () => s.close(done)) })
  }
  console.log('done')
})
