// Brings the page of a picture to life, alone.
import { mount } from "./mount.js";

mount(document.querySelector("main"), JSON.parse(document.getElementById("data").textContent));
