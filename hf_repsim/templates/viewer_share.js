(query) => {
  const own = new URLSearchParams(window.location.search);
  const kept = [...own].filter(([name]) => name.startsWith("__")); // the page's own, as its theme
  const parts = [query, new URLSearchParams(kept).toString()].filter(Boolean).join("&");
  const place = window.location.pathname;
  window.history.replaceState(null, "", parts ? `${place}?${parts}` : place);
  // in a Space the page stands in a frame, and the reader sees the address of the page around it
  if (window.parent !== window)
    window.parent.postMessage({ queryString: query }, "https://huggingface.co");
  return window.location.origin + (query ? `${place}?${query}` : place);
}
