// What libraries.test.mjs bundles: an Angular application, compiled in the
// browser, whose HttpClients a test can use.
import '@angular/compiler';
import {HttpClient, provideHttpClient, withFetch} from '@angular/common/http';
import {Component, createEnvironmentInjector, provideZonelessChangeDetection} from '@angular/core';
import {bootstrapApplication} from '@angular/platform-browser';

class App {}
const app = await bootstrapApplication(Component({selector: 'body', template: 'Angular'})(App) ?? App, {providers: [provideZonelessChangeDetection()]});
const client = (...features) => createEnvironmentInjector([provideHttpClient(...features)], app.injector).get(HttpClient);
window.angular = {xhr: client(), fetch: client(withFetch())};
