const found = JSON.parse(document.getElementById("found").textContent);

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
  return article;
}

document.getElementById("status").textContent = `${found.title}: ${found.results.length} clips`;
document.getElementById("query").replaceChildren(...(found.query ? [card(found.query)] : []));
document.getElementById("results").replaceChildren(...found.results.map(card));
