const found = JSON.parse(document.getElementById("found").textContent);
const form = document.querySelector("form"), status_ = document.getElementById("status");

function element(tag, attributes = {}, text = null) {
  const made = Object.assign(document.createElement(tag), attributes);
  if (text !== null) made.textContent = text;
  return made;
}

function card(result) {
  const article = element("article");
  if (result.problem) article.append(element("p", {}, result.problem));
  else if (result.thumbnail || result.isVideo) {
    const preload = result.thumbnail ? "none" : "metadata";
    article.append(element("video", { controls: true, preload, src: result.clip, poster: result.thumbnail || "" }));
  } else article.append(element("audio", { controls: true, preload: "none", src: result.clip }));
  if (result.spectrogram) {
    article.append(element("img", { src: result.spectrogram, alt: "spectrogram", onerror() { this.remove(); } }));
  }
  const line = element("p");
  if (result.rank) {
    line.append(element("b", { className: "score" }, result.score.toFixed(3)), `${result.rank}. ${result.file} `,
      element("small", {}, `${result.start.toFixed(1)} to ${(result.start + result.seconds).toFixed(1)} s`));
  } else line.append(element("b", {}, "query "), result.name);
  article.append(line);
  if (!found && result.rank) {
    const nav = element("nav");
    for (const [by, label] of [["video", "more by its frames"], ["audio", "more by its audio"]]) {
      nav.append(element("button", { onclick: () => ask({ clip: result.id, index: result.index, by }, null, result) }, label));
    }
    article.append(nav);
  }
  return article;
}

function show(answer, query = answer.query) {
  status_.className = "";
  status_.textContent = `${answer.title}: ${answer.results.length} clips`;
  document.getElementById("query").replaceChildren(...(query ? [card(query)] : []));
  document.getElementById("results").replaceChildren(...answer.results.map(card));
}

async function ask(query, body = null, shown = null) {
  status_.className = "";
  status_.textContent = "searching ...";
  const parameters = new URLSearchParams({ ...query, top: form.top.value });
  if (form.in.value) parameters.set("in", form.in.value);
  history.replaceState(null, "", body ? location.pathname : `#${parameters}`); // a question can be kept as a link
  try {
    const reply = await fetch(`api/search?${parameters}`, body ? { method: "POST", body } : {});
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.error);
    show(answer, shown && { ...shown, rank: 0, name: shown.name || shown.file });
  } catch (problem) {
    status_.className = "bad";
    status_.textContent = problem.message;
  }
}

form.addEventListener("submit", event => {
  event.preventDefault();
  const go = event.submitter.value, file = form.file.files[0];
  if (go === "text") { if (form.text.value.trim()) ask({ text: form.text.value.trim() }); }
  else if (file) {
    const clip = URL.createObjectURL(file);
    ask({ by: go, name: file.name }, file, { name: file.name, clip, isVideo: file.type.startsWith("video/") });
  }
  else { status_.className = "bad"; status_.textContent = "choose a file first"; }
});

if (found) show(found);
else {
  form.hidden = false;
  fetch("api/info").then(reply => reply.json()).then(info => {
    document.getElementById("about").textContent =
      `${info.clips} clips; text finds what one frame shows; files up to ${info.max_upload_mb} MB, their first ${info.max_query_seconds} s`;
  });
  const { top, in: where, ...asked } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (top) form.top.value = top;
  if (where) form.in.value = where;
  if (asked.text) form.text.value = asked.text;
  if (asked.text || asked.clip) ask(asked);
}
