import ModelKit
import PhotosUI
import SwiftUI

struct ContentView: View {
    @State private var state = ModelState()
    @State private var picked: PhotosPickerItem?
    @State private var live = false

    var body: some View {
        NavigationStack {
            List {
                if state.about == nil && state.problem == nil { ProgressView("Loading the model…") }
                if state.about != nil { Section { controls } }
                if let problem = state.problem { Text(problem).foregroundStyle(.red) }
                if live { CameraView(state: state).listRowInsets(EdgeInsets()) }
                if let milliseconds = state.milliseconds { answers(milliseconds) }
                if let about = state.about { Section { Text(about).font(.footnote) } }
            }
            .navigationTitle(Contract.name)
        }
        .task { await state.load() }
        .onChange(of: picked) { _, item in
            Task {
                guard let item, let file = try? await item.loadTransferable(type: Data.self) else {
                    return state.tell("This picture cannot be read")
                }
                await state.show(file: file)
            }
        }
    }

    @ViewBuilder private var controls: some View {
        if Contract.picture != nil {
            PhotosPicker("Choose a picture", selection: $picked, matching: .images)
            Toggle("Camera", isOn: $live)
        } else {
            Button("Run on zeros") { Task { await state.runOnZeros() } }
        }
        Button("Save what was seen") { Task { await state.export() } }
        if let exported = state.exported { ShareLink(item: exported) }
    }

    private func answers(_ milliseconds: Double) -> some View {
        Section("\(milliseconds, format: .number.precision(.fractionLength(1))) ms") {
            ForEach(state.lines) { line in
                LabeledContent(line.text) {
                    if let score = line.score { Text(score, format: .number.precision(.fractionLength(3))) }
                }
            }
        }
    }
}

#Preview { ContentView() }
