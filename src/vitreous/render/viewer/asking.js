// Questions to the server: each answer comes as lines, steps first.

// The last line; `told` hears of the steps. What cannot be answered is `{ error }`, and what was stopped is null.
export async function asked(address, body, signal, told = () => {}) {
  try {
    const answer = await fetch(address, {
      method: "POST", body: body instanceof Blob ? body : JSON.stringify(body), signal,
      headers: body instanceof Blob ? {} : { "Content-Type": "application/json" },
    });
    return await lastLine(answer, told);
  } catch (error) {
    if (error.name === "AbortError") return null;
    return { error: "The server did not answer to the end. See whether it still runs, and ask again." };
  }
}

async function lastLine(answer, told) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let last = null;
  for (;;) {
    const { value, done } = await reader.read();
    rest += value ?? "";
    const lines = rest.split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines.filter(Boolean)) {
      last = JSON.parse(line);
      told(last);
    }
    if (done) return last;
  }
}
