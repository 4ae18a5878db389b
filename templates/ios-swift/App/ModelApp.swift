import SwiftUI

@main
struct ModelApp: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}
