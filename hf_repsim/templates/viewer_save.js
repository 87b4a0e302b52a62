(text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "similarity.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  return "";
}
